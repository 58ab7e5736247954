-- Storage of the guardian, version 1 (docs/STORAGE.md).
-- `sum` is the CRC-32 of the row's other values as one MessagePack array, in the order of the columns: a bit that
-- flipped inside a row is found, also where SQLite itself sees nothing. Entries of `wal` and `approvals` are chained.

-- One row. `epoch` is raised under the database's lock at each start of a guardian (fencing); `commits` counts
-- transactions, so that a tail that SQLite dropped is missed.
CREATE TABLE epoch (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  epoch   INTEGER NOT NULL,
  commits INTEGER NOT NULL
) STRICT;
INSERT INTO epoch VALUES (1, 0, 0);

CREATE TABLE wal (
  seq        INTEGER PRIMARY KEY,
  time_ns    INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  position   INTEGER NOT NULL,
  operation  TEXT NOT NULL,
  data       BLOB NOT NULL,
  digest     BLOB NOT NULL
) STRICT;
CREATE INDEX wal_restores ON wal (seq) WHERE operation = 'state_restore';

-- One row: entries up to `seq` were compacted; the chain goes on from `digest`.
CREATE TABLE wal_base (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  seq    INTEGER NOT NULL,
  digest BLOB NOT NULL,
  sum    INTEGER NOT NULL
) STRICT;

-- `origin` is own or imported: an imported one is of another log, so recovery does not start from it by itself.
-- `parts` counts the rows of `checkpoint_parts`, 0 until all are there; `proven_ns`: an instance has loaded it.
CREATE TABLE checkpoints (
  id                 TEXT NOT NULL UNIQUE,
  seq                INTEGER NOT NULL,
  time_ns            INTEGER NOT NULL,
  reason             TEXT NOT NULL,
  revision           TEXT NOT NULL,
  kind               TEXT NOT NULL,
  size_bytes         INTEGER NOT NULL,
  uncompressed_bytes INTEGER NOT NULL,
  digest             BLOB NOT NULL,
  chain_digest       BLOB NOT NULL,
  base               TEXT NOT NULL,
  origin             TEXT NOT NULL,
  pinned             INTEGER NOT NULL,
  deleted_ns         INTEGER NOT NULL,
  proven_ns          INTEGER NOT NULL,
  parts              INTEGER NOT NULL,
  sum                INTEGER NOT NULL
) STRICT;
CREATE INDEX checkpoints_seq ON checkpoints (seq);

-- The whole .ckpt file, cut into rows of 64 KiB.
CREATE TABLE checkpoint_parts (
  checkpoint_id TEXT NOT NULL,
  part          INTEGER NOT NULL,
  data          BLOB NOT NULL,
  UNIQUE (checkpoint_id, part)
) STRICT;

-- `after_seq`: the log's end at the acceptance; its operations are behind that. (An index of the log by request would
-- dirty a page for every request in flight, several times the bytes of the entries themselves.)
CREATE TABLE requests (
  number     INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  session    TEXT NOT NULL,
  kind       TEXT NOT NULL,
  text       TEXT NOT NULL,
  time_ns    INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  after_seq  INTEGER NOT NULL,
  sum        INTEGER NOT NULL
) STRICT;

-- How a request ended: done, failed, quarantined. A request without a row here is unfinished.
CREATE TABLE answers (
  number     INTEGER PRIMARY KEY,
  state      TEXT NOT NULL,
  answer     TEXT NOT NULL,
  error      TEXT NOT NULL,
  elapsed_ms REAL NOT NULL,
  recovered  INTEGER NOT NULL,
  time_ns    INTEGER NOT NULL,
  sum        INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
  id      INTEGER PRIMARY KEY,
  time_ns INTEGER NOT NULL,
  source  TEXT NOT NULL,
  kind    TEXT NOT NULL,
  level   TEXT NOT NULL,
  text    TEXT NOT NULL,
  data    BLOB NOT NULL,
  sum     INTEGER NOT NULL
) STRICT;

CREATE TABLE evolutions (
  number  INTEGER PRIMARY KEY,
  id      TEXT NOT NULL UNIQUE,
  gene    TEXT NOT NULL,
  state   TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  data    BLOB NOT NULL,
  sum     INTEGER NOT NULL
) STRICT;
CREATE INDEX evolutions_state ON evolutions (state);

CREATE TABLE candidates (
  number    INTEGER PRIMARY KEY,
  evolution TEXT NOT NULL,
  revision  TEXT NOT NULL,
  time_ns   INTEGER NOT NULL,
  data      BLOB NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;
CREATE INDEX candidates_evolution ON candidates (evolution);

CREATE TABLE samples (
  number    INTEGER PRIMARY KEY,
  evolution TEXT NOT NULL,
  time_ns   INTEGER NOT NULL,
  data      BLOB NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;
CREATE INDEX samples_evolution ON samples (evolution);

CREATE TABLE decisions (
  number    INTEGER PRIMARY KEY,
  evolution TEXT NOT NULL,
  verdict   TEXT NOT NULL,
  time_ns   INTEGER NOT NULL,
  data      BLOB NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_evolution ON decisions (evolution);

-- Append-only: `digest` = SHA-256(previous digest, the row's other values as one MessagePack array).
CREATE TABLE approvals (
  number          INTEGER PRIMARY KEY,
  time_ns         INTEGER NOT NULL,
  who             TEXT NOT NULL,
  uid             INTEGER NOT NULL,
  how             TEXT NOT NULL,
  place           TEXT NOT NULL,
  verdict         TEXT NOT NULL,
  evolution       TEXT NOT NULL,
  base            TEXT NOT NULL,
  revision        TEXT NOT NULL,
  diff_sha256     TEXT NOT NULL,
  evidence_sha256 TEXT NOT NULL,
  reason          TEXT NOT NULL,
  digest          BLOB NOT NULL
) STRICT;
CREATE TRIGGER approvals_no_update BEFORE UPDATE ON approvals
BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE TRIGGER approvals_no_replace BEFORE INSERT ON approvals
WHEN EXISTS (SELECT 1 FROM approvals WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;

-- Effects asked and answered; state asked, done or error. `place` counts equal questions of one request from 0.
CREATE TABLE brokered (
  number      INTEGER PRIMARY KEY,
  request_id  TEXT NOT NULL,
  call_id     TEXT NOT NULL,
  kind        TEXT NOT NULL,
  args_sha256 BLOB NOT NULL,
  place       INTEGER NOT NULL,
  state       TEXT NOT NULL,
  body_sha256 BLOB NOT NULL,
  time_ns     INTEGER NOT NULL,
  sum         INTEGER NOT NULL
) STRICT;
CREATE INDEX brokered_questions ON brokered (request_id, kind, args_sha256);

-- Questions and answers by the SHA-256 of their MessagePack. `packed`: 0 as it is, 1 zstd, 2 zstd with the dictionary,
-- 3 the dictionary itself (one, learned from bodies).
CREATE TABLE bodies (
  sha256  BLOB PRIMARY KEY,
  packed  INTEGER NOT NULL,
  time_ns INTEGER NOT NULL,
  data    BLOB NOT NULL,
  sum     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a probe writes while the disk is full, to see whether there is room again.
CREATE TABLE probe (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
