-- The triggers of the ledger's own tables.

DROP TRIGGER IF EXISTS ringi_link ON audit_event;
CREATE CONSTRAINT TRIGGER ringi_link AFTER INSERT ON audit_event DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ringi_link();
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_link;

CREATE OR REPLACE TRIGGER ringi_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION ringi_refuse();
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_append_only;
CREATE OR REPLACE TRIGGER ringi_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ringi_refuse();
ALTER TABLE audit_ledgerentry ENABLE ALWAYS TRIGGER ringi_append_only;
CREATE OR REPLACE TRIGGER ringi_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_ledgerhead
    FOR EACH STATEMENT EXECUTE FUNCTION ringi_refuse();
ALTER TABLE audit_ledgerhead ENABLE ALWAYS TRIGGER ringi_append_only;
CREATE OR REPLACE TRIGGER ringi_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION ringi_refuse();
ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER ringi_append_only;
