//! Publishers that run for long while their stages fail at random.

mod many;
