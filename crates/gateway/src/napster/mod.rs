//! The dialect `napster`: an index that verifies who seeds a file; packed structs over TCP.
