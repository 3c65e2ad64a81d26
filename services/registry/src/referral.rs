//! Referrals (帰国者・接触者外来): an institution that tests sees the case from then on.

mod refer;

pub(crate) use refer::refer;
