//! The kinds of faults of a cluster, and how often each happens.

use crate::{fault_schedule::Only, random::Random};

#[derive(Debug, Clone, Copy)]
pub(crate) enum ClusterFault {
    /// A master dies, and its replica takes over.
    Killed,
    /// A master dies. Its replica takes over, and lacks the latest changes that the master
    /// acknowledged.
    KilledAlone,
    /// A master dies and comes back empty, perhaps before its replica takes over.
    StartedAgain,
    /// The same, and it dies again, perhaps before its replica is empty too.
    KilledTwice,
    StoppedBriefly,
    /// A replica takes over while the old master keeps running.
    Replaced,
    ReplicaStopped,
    HandedOver,
    SlotMoved,
    Emptied,
    ClientsKilled,
    ScriptsForgotten,
    AllStartedAgain,
}

use ClusterFault::{
    AllStartedAgain, ClientsKilled, Emptied, HandedOver, Killed, KilledAlone, KilledTwice,
    Replaced, ReplicaStopped, ScriptsForgotten, SlotMoved, StartedAgain, StoppedBriefly,
};

/// A fault happens more often if it is listed more often.
const ANY: [ClusterFault; 16] = [
    Killed,
    Killed,
    KilledAlone,
    StartedAgain,
    KilledTwice,
    StoppedBriefly,
    Replaced,
    Replaced,
    ReplicaStopped,
    HandedOver,
    SlotMoved,
    SlotMoved,
    Emptied,
    ClientsKilled,
    ScriptsForgotten,
    AllStartedAgain,
];
/// Each ends with a failover. After `KilledTwice`, the master may be back before its replica takes
/// over.
const FAILOVERS: [ClusterFault; 4] = [Killed, KilledAlone, Replaced, HandedOver];

impl ClusterFault {
    pub(crate) fn some(only: Option<Only>, random: &mut Random) -> ClusterFault {
        match only {
            Some(Only::Moves) => SlotMoved,
            Some(Only::Failovers) => FAILOVERS[random.index(FAILOVERS.len())],
            None => ANY[random.index(ANY.len())],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Killed => "master killed",
            KilledAlone => "master killed, its replica behind",
            StartedAgain => "master killed and started at once",
            KilledTwice => "master killed, started and killed",
            StoppedBriefly => "master stopped briefly",
            Replaced => "master stopped until replaced",
            ReplicaStopped => "replica stopped",
            HandedOver => "failover by hand",
            SlotMoved => "slot moved",
            Emptied => "master emptied",
            ClientsKilled => "clients killed",
            ScriptsForgotten => "scripts forgotten",
            AllStartedAgain => "all killed and started again",
        }
    }

    /// Whether a master does not answer for a while. After other faults, a lookup degrades only by
    /// chance.
    pub(crate) fn is_outage(self) -> bool {
        !matches!(
            self,
            ReplicaStopped | SlotMoved | Emptied | ClientsKilled | ScriptsForgotten
        )
    }
}
