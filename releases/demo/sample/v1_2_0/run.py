"""Starts the dataset service's commands from the tree that this file lies in."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a laid tree must stay as it was laid
# The real folder, not the link it was called through: the link may be switched while this process runs.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from dataset_service.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
