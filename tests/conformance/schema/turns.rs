//! Programs with different schemas that read and update one record by turns: every sequence of
//! three steps.
//!
//! What a step does depends only on which program has filled the entry, if any. So sequences of
//! three steps reach every state, and try every step in it.

use std::convert::Infallible;

use cache_aside::{Cache, Record, store::Fields};

use super::{FIELD, cache, stored};
use crate::environment::Environment;

/// What the primary has, as versions of its two columns.
#[derive(Default)]
struct Primary {
    price: u32,
    stock: u32,
}

/// A program. Each field that it stores shows its schema.
struct Program {
    schema: Option<u32>,
    cache: Cache,
}

impl Program {
    fn value(&self, number: u32) -> String {
        format!("{:?} {number}", self.schema)
    }

    fn record(&self, primary: &Primary) -> Record {
        let [price, stock] = [primary.price, primary.stock].map(|number| self.value(number));
        Record::from([("price", price), ("stock", stock)])
    }

    /// What Redis has after a fill by this program, sorted by name.
    fn entry(&self, primary: &Primary) -> Fields {
        let number = self
            .schema
            .map(|number| (FIELD.to_owned(), number.to_string()));
        let fields = number.into_iter().chain(self.record(primary));
        fields
            .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
            .collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get,
    UpdateField,
    Update,
    WriteThrough,
}

const STEPS: [Step; 4] = [
    Step::Get,
    Step::UpdateField,
    Step::Update,
    Step::WriteThrough,
];

/// Runs a step of a program. `filled`: whether the entry is from the same program. Returns whether
/// an entry exists now.
fn run(step: Step, program: &Program, primary: &mut Primary, filled: bool) -> bool {
    let cache = &program.cache;
    match step {
        Step::Get => {
            let row = program.record(primary);
            let found = cache.get("r", |_| Ok::<_, Infallible>(Some(row)));
            let found = found.unwrap();
            assert_eq!(**found.record().unwrap(), program.record(primary));
            assert_eq!(found.is_hit(), filled);
            true
        }
        Step::UpdateField => {
            primary.stock += 1;
            let stock = program.value(primary.stock);
            assert_eq!(cache.update_field("r", "stock", stock).unwrap(), filled);
            filled
        }
        Step::Update => {
            primary.price += 1;
            primary.stock += 1;
            let row = program.record(primary);
            let updated = cache.update("r", |_| Some(row.clone())).unwrap();
            assert_eq!(updated, filled);
            filled
        }
        Step::WriteThrough => {
            let written = cache.write_through("r", || {
                primary.price += 1;
                Ok::<_, Infallible>(((), Some(program.record(primary))))
            });
            assert!(written.unwrap().is_cached());
            true
        }
    }
}

fn updates_and_fills_of_several_schemas_never_mix_or_leave_an_old_record(
    environment: &Environment,
) {
    let programs = [None, Some(1), Some(2)].map(|schema| Program {
        schema,
        cache: cache(environment, schema),
    });
    let mut primary = Primary::default();
    let turns = || (0..programs.len()).flat_map(|by| STEPS.map(|step| (by, step)));
    for first in turns() {
        for second in turns() {
            for third in turns() {
                programs[0].cache.invalidate("r").unwrap();
                let mut filled = None;
                for (by, step) in [first, second, third] {
                    let exists = run(step, &programs[by], &mut primary, filled == Some(by));
                    filled = exists.then_some(by);
                    // The whole record of one program, with what the primary has now; or nothing.
                    let entry = filled.map(|by| programs[by].entry(&primary));
                    let context = [first, second, third];
                    assert_eq!(
                        stored(environment),
                        entry.unwrap_or_default(),
                        "{context:?}"
                    );
                }
            }
        }
    }
}

on_both_stores! {
    updates_and_fills_of_several_schemas_never_mix_or_leave_an_old_record,
}
