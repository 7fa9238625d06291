//! Listening to a cluster: to every node from which records are read, with one listener each.
//!
//! A push comes from the node that made the change, and from no other. So an [`Ear`] is told that it can rely on what it heard
//! as long as *every* one of them is heard, and no longer than the one that was heard last the longest time ago.
//!
//! # What makes that enough
//!
//! 1. Whoever is about to read from a node that nobody listens to says so before ([`Choir::expect`]): then nothing is used near
//!    until that node is heard as well, and what is read meanwhile never is.
//! 2. A record that is near was read from a node that is listened to. Where its slot is moved to another node, it is deleted
//!    from that node when it has been handed over, which is pushed.
//! 3. Where another node takes over because this one is cut off from the rest of the cluster, this one doesn't know yet, and
//!    would answer each `PING`. So with each goes a question for a key in one of its slots, which it refuses when the slot is another's
//!    or the cluster is down for it: the [charge](charge_of) of its listener. A node refuses all keys after the node
//!    timeout, and another takes its place no sooner.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    node::Node,
    slot_map::Map,
    slots::{Place, slot_of},
};
use crate::{
    redis::tracking::{self, Task},
    store::{Ear, Tracking, tracking::SharedEar},
};

pub(super) struct Choir {
    prefix: String,
    bound: Duration,
    ear: SharedEar,
    /// Called when a node is heard no longer, under no lock.
    when_lost: Box<dyn Fn() + Send + Sync>,
    /// Held while the ear is told whether it can rely on what it hears, so that it is told in the order in which that was so.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    voices: HashMap<Place, Voice>,
    /// Of the latest voice.
    number: u64,
    /// The ear relies on what it hears.
    is_on: bool,
    /// Nobody is to be followed any more.
    has_ended: bool,
}

/// One node.
pub(super) struct Voice {
    /// Another one for each listener, so that one that was replaced is not taken for the one that replaced it.
    number: u64,
    charge: Option<String>,
    /// `None`: it isn't heard.
    until: Option<Instant>,
    /// Held, and dropped under no lock: then the listener ends.
    _listener: Tracking,
}

impl Choir {
    pub(super) fn new(
        prefix: &str,
        bound: Duration,
        ear: SharedEar,
        when_lost: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Choir> {
        Arc::new(Choir {
            prefix: prefix.to_owned(),
            bound,
            ear,
            when_lost: Box::new(when_lost),
            state: Mutex::default(),
        })
    }

    /// Listens to the masters of the prefix, and to nodes that are about to be some. Returns those that are to be heard no
    /// longer: to be dropped under no lock, which waits for them to end, as they may for a lock.
    pub(super) fn follow(self: &Arc<Choir>, map: &Map) -> Vec<Voice> {
        let masters = map.masters();
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        if !state.has_ended {
            let mut before = mem::take(&mut state.voices);
            for node in map.nodes() {
                let is_master = masters.iter().any(|master| master.place == node.place);
                let is_right = |voice: &Voice| match &voice.charge {
                    Some(charge) => map.owns(&node.place, slot_of(charge)),
                    None => !is_master,
                };
                match before.remove(&node.place) {
                    Some(voice) if is_right(&voice) => {
                        state.voices.insert(node.place.clone(), voice);
                        continue;
                    }
                    other => gone.extend(other),
                }
                let charge = charge_of(map, &node.place, &self.prefix);
                // Not to a master of which no slot is one of the prefix.
                if charge.is_some() || !is_master {
                    self.listen(&mut state, node, charge);
                }
            }
            gone.extend(before.into_values());
        }
        gone
    }

    /// Listens to this node as well. What is read from it after this has returned is not used near before it is heard.
    pub(super) fn expect(self: &Arc<Choir>, node: &Node) {
        let mut state = self.state.lock();
        if !state.has_ended && !state.voices.contains_key(&node.place) {
            self.listen(&mut state, node, None);
        }
    }

    fn listen(self: &Arc<Choir>, state: &mut State, node: &Node, charge: Option<String>) {
        self.silence(state);
        state.number += 1;
        let number = state.number;
        let place = node.place.clone();
        let ear = Arc::new(Part {
            choir: Arc::downgrade(self),
            place: place.clone(),
            number,
        });
        let (client, timeouts) = node.store.terms();
        let task = Task {
            prefix: self.prefix.clone(),
            charge: charge.clone(),
            bound: self.bound,
        };
        let voice = Voice {
            number,
            charge,
            until: None,
            _listener: tracking::track(client, timeouts, task, ear),
        };
        state.voices.insert(place, voice);
    }

    /// Somebody isn't heard.
    fn silence(&self, state: &mut State) {
        if mem::replace(&mut state.is_on, false) {
            self.ear.lost();
        }
    }

    fn heard(&self, place: &Place, number: u64, until: Instant) {
        let mut state = self.state.lock();
        if let Some(voice) = state.voice(place, number) {
            voice.until = Some(until);
            let all: Option<Vec<_>> = state.voices.values().map(|voice| voice.until).collect();
            if let Some(until) = all.and_then(|all| all.into_iter().min()) {
                state.is_on = true;
                self.ear.listening(until);
            }
        }
    }

    fn lost(&self, place: &Place, number: u64) {
        let mut state = self.state.lock();
        if let Some(voice) = state.voice(place, number) {
            voice.until = None;
            self.silence(&mut state);
        }
    }

    /// Ends all listeners.
    fn end(&self) {
        let voices = {
            let mut state = self.state.lock();
            state.has_ended = true;
            mem::take(&mut state.voices)
        };
        drop(voices);
    }
}

impl State {
    fn voice(&mut self, place: &Place, number: u64) -> Option<&mut Voice> {
        let voice = self.voices.get_mut(place);
        voice.filter(|voice| voice.number == number)
    }
}

/// What a program holds while it listens.
pub(super) struct Conducted(pub(super) Arc<Choir>);

impl Drop for Conducted {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What one listener tells.
struct Part {
    choir: Weak<Choir>,
    place: Place,
    number: u64,
}

impl Ear for Part {
    fn listening(&self, until: Instant) {
        if let Some(choir) = self.choir.upgrade() {
            choir.heard(&self.place, self.number, until);
        }
    }

    fn changed(&self, data: &str) {
        if let Some(choir) = self.choir.upgrade() {
            choir.ear.changed(data);
        }
    }

    fn lease_changed(&self, lease: &str) {
        if let Some(choir) = self.choir.upgrade() {
            choir.ear.lease_changed(lease);
        }
    }

    fn everything_changed(&self) {
        if let Some(choir) = self.choir.upgrade() {
            choir.ear.everything_changed();
        }
    }

    fn lost(&self) {
        let Some(choir) = self.choir.upgrade() else {
            return;
        };
        choir.lost(&self.place, self.number);
        (choir.when_lost)();
    }
}

/// How many keys are tried. A node with a hundredth of the slots is hit by one of a hundred.
const TRIES: u32 = 50_000;

/// A key with this prefix in one of the slots of the node at this place; `None`: it has none. Nothing need stand there.
fn charge_of(map: &Map, place: &Place, prefix: &str) -> Option<String> {
    let is_here = |key: &String| map.owns(place, slot_of(key));
    let key = |number| format!("{prefix}{{{number}}}");
    if slot_of(&key(0)) == slot_of(&key(1)) && slot_of(&key(1)) == slot_of(&key(2)) {
        // The prefix has a tag, and so one slot.
        return Some(key(0)).filter(is_here);
    }
    (0..TRIES).map(key).find(is_here)
}
