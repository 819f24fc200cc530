-- JSON as RFC 8785 writes it.
-- UTF-16 order, which RFC 8785 asks for, differs from code-point order only where characters from U+E000 to
-- U+FFFF meet those above U+FFFF: the former get U+10FFFF in front, so that they sort behind the latter.

-- Nearly all text is ASCII, and needs no look at each character.
CREATE OR REPLACE FUNCTION ringi_nfc(value text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN octet_length(value) = char_length(value) THEN value ELSE normalize(value, NFC) END $$;

CREATE OR REPLACE FUNCTION ringi_text(value text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(to_json(ringi_nfc(value))::text, 'null') $$;

CREATE OR REPLACE FUNCTION ringi_key_order(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN octet_length(name) = char_length(name) THEN name
    ELSE regexp_replace(regexp_replace(name, U&'\+10FFFF', U&'\+10FFFF' || chr(1), 'g'),
                        U&'([\E000-\FFFF])', U&'\+10FFFF' || '\1', 'g') END
$$;

CREATE OR REPLACE FUNCTION ringi_number(value jsonb) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN value::text ~ '^-?[0-9]{1,15}$' THEN value::text
    WHEN value::text ~ '^-?[0-9]{16}$' AND abs(value::numeric) <= 9007199254740991 THEN value::text
    ELSE '"' || value::text || '"' END
$$;

DROP FUNCTION IF EXISTS ringi_canonical(jsonb);
CREATE OR REPLACE FUNCTION ringi_canonical(value jsonb, depth integer DEFAULT 0) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    written text := value::text;
    ascii boolean := octet_length(written) = char_length(written);
BEGIN
    IF depth > 100 THEN RAISE EXCEPTION 'a JSON value is nested deeper than readers go' USING ERRCODE = '22030'; END IF;
    CASE coalesce(jsonb_typeof(value), 'null')
    WHEN 'object' THEN
        IF value = '{}' THEN
            RETURN '{}';
        -- Numbers, truths and ASCII are written here: a call for each would cost more than all the rest.
        ELSIF ascii THEN
            RETURN (SELECT '{' || string_agg(
                        to_json(entry.key)::text || ':' || CASE jsonb_typeof(entry.value)
                            WHEN 'number' THEN ringi_number(entry.value)
                            WHEN 'object' THEN ringi_canonical(entry.value, depth + 1)
                            WHEN 'array' THEN ringi_canonical(entry.value, depth + 1)
                            ELSE entry.value::text END, ',' ORDER BY entry.key COLLATE "C") || '}'
                    FROM jsonb_each(value) AS entry);
        ELSIF EXISTS (SELECT FROM jsonb_object_keys(value) AS key WHERE key IS NOT NFC NORMALIZED
                      GROUP BY normalize(key, NFC) HAVING count(*) > 1 OR value ? normalize(key, NFC)) THEN
            RAISE EXCEPTION 'a key stands twice in a JSON value, in two forms' USING ERRCODE = '22030';
        END IF;
        RETURN (SELECT '{' || string_agg(
                    ringi_text(entry.key) || ':' || CASE jsonb_typeof(entry.value)
                        WHEN 'string' THEN ringi_text(entry.value #>> '{}')
                        WHEN 'number' THEN ringi_number(entry.value)
                        WHEN 'boolean' THEN entry.value::text
                        ELSE ringi_canonical(entry.value, depth + 1) END, ','
                    ORDER BY ringi_key_order(normalize(entry.key, NFC)) COLLATE "C") || '}'
                FROM jsonb_each(value) AS entry);
    WHEN 'array' THEN
        -- A flat array has no order to make, and without a long or broken number none to quote.
        IF ascii AND written !~ '^.+[[{]|[0-9]{16}|[0-9][.eE]' THEN
            RETURN json_strip_nulls(written::json);
        END IF;
        RETURN (SELECT '[' || coalesce(
                    string_agg(ringi_canonical(entry.value, depth + 1), ',' ORDER BY entry.place), '') || ']'
                FROM jsonb_array_elements(value) WITH ORDINALITY AS entry(value, place));
    WHEN 'string' THEN RETURN ringi_text(value #>> '{}');
    WHEN 'number' THEN RETURN ringi_number(value);
    WHEN 'boolean' THEN RETURN written;
    ELSE RETURN 'null';
    END CASE;
END $$;
