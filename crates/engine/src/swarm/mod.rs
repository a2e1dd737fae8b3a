//! Which chunk to ask of whom.
