//! Decides which server is the master, from the answers of several sentinels. Pure: sends nothing.
//!
//! Some sentinels may not know the latest failover yet. Each failover has a number, the
//! *configuration epoch*, and later ones have larger numbers. So a sentinel that was cut off from
//! the others does not overrule a newer answer.

/// The master, as one sentinel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) epoch: u64,
}

impl Master {
    pub(super) fn is_at(&self, other: &Master) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// The master to follow after these answers. `None`: the known master stays.
///
/// `is_all`: every sentinel has answered. If the sentinels were set up again, all of them count
/// from the beginning, so smaller numbers are then valid.
pub(super) fn newest_master(
    known: Option<&Master>,
    said: &[Master],
    is_all: bool,
) -> Option<Master> {
    let latest = said.iter().map(|master| master.epoch).max()?;
    let mut best = said.iter().filter(|master| master.epoch == latest);
    let Some(known) = known else {
        return best.next().cloned();
    };
    if latest > known.epoch || is_all && !said.iter().any(|master| master == known) {
        return best
            .clone()
            .find(|master| master.is_at(known))
            .or_else(|| best.next())
            .cloned();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16, epoch: u64) -> Master {
        let host = "10.0.0.1".to_owned();
        Master { host, port, epoch }
    }

    #[test]
    fn the_first_answer_is_better_than_none() {
        assert_eq!(newest_master(None, &[], true), None);
        assert_eq!(newest_master(None, &[at(1, 0)], false), Some(at(1, 0)));
        assert_eq!(
            newest_master(None, &[at(1, 0), at(2, 3)], false),
            Some(at(2, 3))
        );
    }

    #[test]
    fn a_later_failover_prevails_whichever_sentinel_reports_it() {
        let said = [at(1, 4), at(2, 5), at(1, 4)];
        assert_eq!(newest_master(Some(&at(1, 4)), &said, true), Some(at(2, 5)));
        assert_eq!(
            newest_master(Some(&at(1, 4)), &said[..2], false),
            Some(at(2, 5))
        );
    }

    #[test]
    fn a_sentinel_without_the_latest_failover_changes_nothing() {
        let known = at(2, 5);
        assert_eq!(newest_master(Some(&known), &[at(1, 4)], false), None);
        assert_eq!(
            newest_master(Some(&known), &[at(1, 4), at(2, 5)], true),
            None
        );
        assert_eq!(newest_master(Some(&known), &[at(2, 5)], true), None);
    }

    #[test]
    fn sentinels_that_were_all_set_up_again_are_believed() {
        let known = at(2, 5);
        let said = [at(3, 0), at(3, 0)];
        assert_eq!(newest_master(Some(&known), &said, false), None);
        assert_eq!(newest_master(Some(&known), &said, true), Some(at(3, 0)));
        assert_eq!(
            newest_master(Some(&known), &[at(3, 1), at(2, 1)], true),
            Some(at(2, 1)),
            "of two that are as good, the one we have"
        );
    }
}
