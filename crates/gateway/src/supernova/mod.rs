//! The dialect `supernova`: a tracker of peers with shared folders; text over TCP.
