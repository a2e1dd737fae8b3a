//! The dialect `content`: an index of content servers, taken in turn; PDUs of 101 bytes over UDP and TCP.
