//! The dialect `p2pbrs`: backup and recovery among peers; text over UDP, chunks over TCP.
