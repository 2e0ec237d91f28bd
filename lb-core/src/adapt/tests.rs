//! What holds whatever is reported.
