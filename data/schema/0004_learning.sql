-- What operators say of answers: `request_id` is empty where the newest answer is not known.
CREATE TABLE feedback (
  number     INTEGER PRIMARY KEY,
  time_ns    INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  verdict    TEXT NOT NULL,
  text       TEXT NOT NULL,
  who        TEXT NOT NULL,
  revision   TEXT NOT NULL,
  sum        INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_request ON feedback (request_id);

-- Holding and releasing of evolution; the newest row counts. `verdict` is held or released.
CREATE TABLE holds (
  number  INTEGER PRIMARY KEY,
  time_ns INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  who     TEXT NOT NULL,
  reason  TEXT NOT NULL,
  sum     INTEGER NOT NULL
) STRICT;

-- What may happen without asking, by gene; the newest row of a gene counts. `policy` is always, auto or never; `risk` is
-- the highest class of change that `auto` goes for.
CREATE TABLE policies (
  number  INTEGER PRIMARY KEY,
  time_ns INTEGER NOT NULL,
  gene    TEXT NOT NULL,
  policy  TEXT NOT NULL,
  risk    TEXT NOT NULL,
  who     TEXT NOT NULL,
  uid     INTEGER NOT NULL,
  sum     INTEGER NOT NULL
) STRICT;

-- How candidates ended, for the choice of the next one's source; `source` is file, llm, operators or others.
CREATE TABLE outcomes (
  number    INTEGER PRIMARY KEY,
  time_ns   INTEGER NOT NULL,
  evolution TEXT NOT NULL,
  gene      TEXT NOT NULL,
  source    TEXT NOT NULL,
  operator  TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  cost_s    REAL NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;

-- What was seen or asked for that may call for a change: `evolution` where one was begun, else `reason` says why not.
CREATE TABLE intents (
  number    INTEGER PRIMARY KEY,
  time_ns   INTEGER NOT NULL,
  gene      TEXT NOT NULL,
  metric    TEXT NOT NULL,
  text      TEXT NOT NULL,
  figures   BLOB NOT NULL,
  evolution TEXT NOT NULL,
  reason    TEXT NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;

-- What the built-in operators have learned, one row a gene.
CREATE TABLE portfolios (
  gene    TEXT PRIMARY KEY,
  time_ns INTEGER NOT NULL,
  data    BLOB NOT NULL,
  sum     INTEGER NOT NULL
) STRICT;
