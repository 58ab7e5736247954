-- What is known of the figures of genes, one row a figure: of the genome `revision`, and of no other.
CREATE TABLE detectors (
  name     TEXT PRIMARY KEY,
  time_ns  INTEGER NOT NULL,
  revision TEXT NOT NULL,
  data     BLOB NOT NULL,
  sum      INTEGER NOT NULL
) STRICT;
