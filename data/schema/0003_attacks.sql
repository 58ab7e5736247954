-- Inputs that broke a candidate of a gene: later ones have to stand them. `signature` is the same for those that show the
-- same fault; `data` is the attack as MessagePack (evolution/attacks.py).
CREATE TABLE attacks (
  number    INTEGER PRIMARY KEY,
  time_ns   INTEGER NOT NULL,
  gene      TEXT NOT NULL,
  signature TEXT NOT NULL UNIQUE,
  data      BLOB NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;
CREATE INDEX attacks_gene ON attacks (gene);
