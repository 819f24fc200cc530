"""Facts of a real git repository, its mirror of a remote one, and the tags that the product makes."""

from releases.sources.git.branch_files import FilesRefused, commit_files
from releases.sources.git.facts import (
    CommitFacts,
    NoSuchRevision,
    NoSuchTag,
    TagFacts,
    authors,
    commit_facts,
    commit_signature,
    committers,
    contains,
    facts,
    has_branch,
    head_accepts,
    resolve,
    unreadable,
)
from releases.sources.git.files import changed_files
from releases.sources.git.message import changes as named_changes, kind_of, tag_message
from releases.sources.git.program import SourceUnavailable
from releases.sources.git.remote import Credentials, is_remote, publish, push_files, reach, refresh, wrong_address
from releases.sources.git.signing import BadKey, Signature, Signers, accepted_as, known, public_key
from releases.sources.git.span import (
    MOST_COMMITS,
    Commit,
    Span,
    described,
    heads,
    is_ancestor,
    is_clean_merge,
    listed_between,
    span,
)
from releases.sources.git.tags import Tagged, TagRefused, create_tag, listed, subjects, tag_object
