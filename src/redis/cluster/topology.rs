//! What is known of a cluster, kept right: from what redirections say, and by asking its nodes.
//!
//! A redirection corrects one slot, before whoever was redirected goes on. And it calls the mender, which asks for all of
//! them; so does a node that doesn't answer, until another has taken its place or it answers again. Nobody waits for that.
//!
//! # Locks
//!
//! `map` is held to take or replace the `Arc` in it, and not beyond; `drawing` by whoever replaces it, from before the new one
//! is made until whoever listens has been told of it, so that they are told in the order in which the maps were drawn. First
//! `drawing`, then `map`.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use redis::Client;

use super::{
    node::{Node, Terms, client_of, place_of, slots_by},
    parallel::at_the_same_time,
    slot_map::Map,
    slots::{Place, Range, Slot},
    tracking::Choir,
};
use crate::{
    redis::{endpoint::Source, error},
    store::{Failure, Symptom, token::Token},
    telemetry::trace,
    util::retry::Mender,
};

pub(super) struct Atlas {
    /// Those in the address. They are asked where no node that was heard of answers.
    seeds: Vec<Source>,
    terms: Terms,
    map: RwLock<Arc<Map>>,
    drawing: Mutex<()>,
    /// The replicas as they were told of last. Each may be a master by the time that no master answers any more.
    replicas: Mutex<Vec<Place>>,
    /// Those that listen to all masters.
    choirs: Mutex<Vec<Weak<Choir>>>,
    mender: Mender,
}

impl Atlas {
    /// One that knows nothing but these nodes. Connects to none.
    pub(super) fn new(seeds: Vec<Client>, terms: Terms, probe_interval: Duration) -> Arc<Atlas> {
        let seeds: Vec<_> = seeds.into_iter().map(Source::from).collect();
        let nodes = seeds.iter().filter_map(|seed| {
            let place = place_of(seed.info())?;
            Some(Arc::new(Node::new(seed.clone(), place, terms)))
        });
        let map = Map::of(nodes.collect());
        Arc::new_cyclic(|atlas: &Weak<Atlas>| {
            let atlas = Weak::clone(atlas);
            Atlas {
                seeds,
                terms,
                map: RwLock::new(Arc::new(map)),
                drawing: Mutex::default(),
                replicas: Mutex::default(),
                choirs: Mutex::default(),
                // One that is gone has nothing to mend.
                mender: Mender::new(probe_interval, move || {
                    atlas.upgrade().is_none_or(|atlas| atlas.is_mended())
                }),
            }
        })
    }

    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read())
    }

    /// Who has this slot.
    pub(super) fn owner(&self, slot: Slot) -> Result<Arc<Node>, Failure> {
        let owner = self.map.read().owner(slot).cloned();
        owner.ok_or_else(|| Failure::new(Symptom::Silent, "no node of the cluster is known"))
    }

    /// A node says that a slot is another's.
    pub(super) fn moved(&self, slot: Slot, to: &Place) -> Result<Arc<Node>, Failure> {
        let node = self.node(to)?;
        {
            let _drawing = self.drawing.lock();
            let map = self.map();
            if !map.owns(to, slot) {
                self.replace(map.moved(slot, to));
            }
        }
        self.call_mender();
        Ok(node)
    }

    /// The node at a place that another one named.
    pub(super) fn node(&self, place: &Place) -> Result<Arc<Node>, Failure> {
        let _drawing = self.drawing.lock();
        let map = self.map();
        let known = map.at(place).cloned();
        let is_known = known.is_some();
        let node = known.map_or_else(|| self.open(place), Ok)?;
        node.hear_of();
        // Before anybody can read from it: what is read there is not used near until it is listened to.
        for choir in self.choirs() {
            choir.expect(&node);
        }
        if !is_known {
            self.replace(map.with(Arc::clone(&node)));
        }
        Ok(node)
    }

    fn open(&self, place: &Place) -> Result<Arc<Node>, Failure> {
        let source = self.source(place)?;
        Ok(Arc::new(Node::new(source, place.clone(), self.terms)))
    }

    /// A node at this place: with the same login as those in the address.
    fn source(&self, place: &Place) -> Result<Source, Failure> {
        let io = self.terms.timeouts.io;
        let seed = self.seeds.first().ok_or_else(|| {
            Failure::new(Symptom::Silent, "the address of the cluster names no node")
        })?;
        let client = client_of(seed.info(), place).map_err(|error| error::failure(error, io))?;
        Ok(client.into())
    }

    /// Under `drawing`.
    fn replace(&self, map: Map) {
        *self.map.write() = Arc::new(map);
    }

    fn choirs(&self) -> Vec<Arc<Choir>> {
        let mut choirs = self.choirs.lock();
        choirs.retain(|choir| choir.strong_count() > 0);
        choirs.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has somebody follow what is known, from now on.
    pub(super) fn tell(&self, choir: &Arc<Choir>) {
        let _drawing = self.drawing.lock();
        self.choirs.lock().push(Arc::downgrade(choir));
        choir.follow(&self.map());
    }

    /// Asks one node after the other which slots are whose, until one says.
    pub(super) fn survey(&self) -> Result<(), Failure> {
        let map = self.map();
        let mut nodes: Vec<_> = map.nodes().iter().collect();
        // From anywhere, for the first may be one that has been left behind by the others.
        if !nodes.is_empty() {
            let most = u64::try_from(nodes.len() - 1).unwrap_or_default();
            let first = Token::random().spread(0, most);
            nodes.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        nodes.sort_by_key(|node| node.is_broken());
        let known = nodes.into_iter().map(|node| node.store.terms().0);
        let mut failure: Option<Failure> = None;
        let mut said_by = |source: &Source| match slots_by(source, self.terms.timeouts) {
            Ok(ranges) => (!ranges.is_empty()).then_some(ranges),
            Err(refused) => {
                // Rather why one would have nothing to do with us than that another one is away.
                let tells_more = failure
                    .as_ref()
                    .is_none_or(|known| error::is_away(known) && !error::is_away(&refused));
                if tells_more {
                    failure = Some(refused);
                }
                None
            }
        };
        let mut ranges = known.chain(&self.seeds).find_map(&mut said_by);
        if ranges.is_none() {
            let replicas = self.replicas.lock().clone();
            let mut sources = replicas.iter().filter_map(|place| self.source(place).ok());
            ranges = sources.find_map(|source| said_by(&source));
        }
        match (ranges, failure) {
            (Some(ranges), _) => self.draw(ranges),
            (None, Some(failure)) => Err(failure),
            (None, None) => {
                let nowhere = "no node of the cluster has any slots";
                Err(Failure::new(Symptom::Silent, nowhere))
            }
        }
    }

    fn draw(&self, ranges: Vec<Range>) -> Result<(), Failure> {
        let drawing = self.drawing.lock();
        let before = self.map();
        let map = before.drawn(&ranges, |place| self.open(place))?;
        let masters = map.masters();
        if masters
            .iter()
            .any(|master| before.at(&master.place).is_none())
        {
            let places: Vec<_> = masters.iter().map(|it| it.place.to_string()).collect();
            trace::info!("the masters of the cluster are {}", places.join(", "));
        }
        let mut replicas: Vec<_> = ranges
            .into_iter()
            .flat_map(|range| range.replicas)
            .collect();
        replicas.sort();
        replicas.dedup();
        *self.replicas.lock() = replicas;
        let choirs = self.choirs();
        let gone: Vec<_> = choirs.iter().map(|choir| choir.follow(&map)).collect();
        self.replace(map);
        drop(drawing);
        // Nobody is to wait for listeners that end.
        drop(gone);
        Ok(())
    }

    /// Something is not as it was.
    pub(super) fn call_mender(&self) {
        if let Err(error) = self.mender.call() {
            trace::error!("there is no thread to ask the nodes of the cluster with: {error}");
        }
    }

    fn is_mended(&self) -> bool {
        let surveyed = self.survey().is_ok();
        let map = self.map();
        let suspect = map.nodes().iter().filter(|node| node.is_suspect());
        let suspect: Vec<_> = suspect.collect();
        let probed = at_the_same_time(&suspect, |node| node.probe());
        surveyed && probed.iter().all(Result::is_ok)
    }
}
