-- What the sandbox refused an instance: each thing once for each instance. `evolution` and `revision` are empty where it
-- was none's; `layer` is seccomp, landlock, limits or namespaces; `what` the system call and its path, or the limit.
CREATE TABLE violations (
  number    INTEGER PRIMARY KEY,
  time_ns   INTEGER NOT NULL,
  instance  TEXT NOT NULL,
  role      TEXT NOT NULL,
  revision  TEXT NOT NULL,
  evolution TEXT NOT NULL,
  layer     TEXT NOT NULL,
  what      TEXT NOT NULL,
  sum       INTEGER NOT NULL
) STRICT;
CREATE INDEX violations_evolution ON violations (evolution);
