CREATE TABLE tags (
    dataset_id bigint NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    tag text NOT NULL CHECK (tag <> ''),
    PRIMARY KEY (dataset_id, tag)
);
INSERT INTO tags (dataset_id, tag) SELECT id, 'large' FROM datasets WHERE row_count >= 900000;
