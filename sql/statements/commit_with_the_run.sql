-- The end of the run is written through to the disk, and all before it with that.
SET LOCAL synchronous_commit = off
