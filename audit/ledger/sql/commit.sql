-- Personal columns stand in events as commitments with the key of their row; once the key is destroyed, none can be
-- computed again. An empty value hides nothing and stands as it is.

CREATE OR REPLACE FUNCTION ringi_commitment(named text, name text, value text) RETURNS text LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF value IN ('null', '""', '[]', '{}') THEN RETURN value; END IF;
    RETURN (SELECT '"personal:sha256:' || encode(sha256(key || convert_to(name || ':' || value, 'UTF8')), 'hex') || '"'
            FROM audit_personal_key WHERE object = named);
END $$;

CREATE OR REPLACE FUNCTION ringi_personal(named text, name text, value text) RETURNS text LANGUAGE plpgsql
AS $$
DECLARE
    made text := ringi_commitment(named, name, value);
BEGIN
    IF made IS NULL THEN
        -- Three times 122 random bits for a key of 256.
        INSERT INTO audit_personal_key VALUES (named, sha256(
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
        made := ringi_commitment(named, name, value);
    END IF;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION ringi_empty(value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE jsonb_typeof(value) WHEN 'string' THEN '""' WHEN 'array' THEN '[]' WHEN 'object' THEN '{}' END::jsonb $$;
