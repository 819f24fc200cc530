-- The columns of a row as the pairs of a JSON object, each VALUE as canonical text; one CASE: it runs per cell.

'{' || string_agg(to_json(cell.key)::text || ':' || CASE
        WHEN jsonb_typeof(VALUE) = 'null' THEN 'null'
        WHEN cell.key = ANY (secret) THEN
            '"hmac-sha256:' || encode(ringi_keyed(VALUE #>> '{}'), 'hex') || '"'
        WHEN cell.key = ANY (times) THEN coalesce(
            '"' || to_char((VALUE #>> '{}')::timestamptz AT TIME ZONE 'UTC',
                           'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', VALUE::text)
        WHEN cell.key = ANY (binaries) THEN
            '"sha256:' || encode(sha256(decode(substr(VALUE #>> '{}', 3), 'hex')), 'hex') || '"'
        WHEN jsonb_typeof(VALUE) = 'string' THEN to_json(normalize(VALUE #>> '{}', NFC))::text
        WHEN jsonb_typeof(VALUE) = 'number' THEN ringi_number(VALUE)
        ELSE ringi_canonical(VALUE) END, ','
        ORDER BY cell.key COLLATE "C") || '}'
