//! One binary with every role of Kogge.
