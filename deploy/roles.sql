-- The six roles of Ringi, and its database. Each password is a variable of psql with the name of its role:
--   cat /etc/ringi/passwords.sql deploy/roles.sql | runuser --user postgres -- psql
\set ON_ERROR_STOP on
CREATE ROLE ringi_owner         LOGIN PASSWORD :'ringi_owner';         -- migrations only
CREATE ROLE ringi               LOGIN PASSWORD :'ringi';               -- web, and the process that tells open pages of changes
CREATE ROLE ringi_worker        LOGIN PASSWORD :'ringi_worker';        -- workers
CREATE ROLE ringi_scheduler     LOGIN PASSWORD :'ringi_scheduler';     -- scheduler
CREATE ROLE ringi_ledger_signer LOGIN PASSWORD :'ringi_ledger_signer'; -- ledger signer
CREATE ROLE ringi_auditor       LOGIN PASSWORD :'ringi_auditor';       -- auditors' own tools
CREATE DATABASE ringi OWNER ringi_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
