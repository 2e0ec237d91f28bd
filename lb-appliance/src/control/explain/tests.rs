//! Explanations agree with the packet path.
