//! Both stores side by side: they give the same answers to any sequence of steps.
//!
//! Redis with its scripts is the reference. Nonces, which each store draws itself, are compared by
//! the order of their first appearance. A remaining time is compared by which of two distant times
//! it comes from. Times are so long that nothing lapses, or so short that they lapse before the
//! next step.

mod side;
mod step;

use std::{cell::RefCell, thread};

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::{
    side::Side,
    step::{Step, steps},
};
use crate::environment::Environment;

/// They take some seconds.
const CASES: u32 = 200;

/// Plays the steps on both sides, and returns the first difference.
fn difference(case: u64, sides: &mut [Side; 2], steps: &[Step]) -> Result<(), String> {
    for side in sides.iter_mut() {
        side.begin(case);
    }
    for (at, step) in steps.iter().enumerate() {
        let [redis, memory] = sides.each_mut().map(|side| side.play(at, step));
        if redis != memory {
            return Err(format!(
                "step {at}, {step:?}:\n  redis:  {redis}\n  memory: {memory}"
            ));
        }
        if step.is_brief() {
            thread::sleep(3 * side::BRIEF);
        }
    }
    let [redis, memory] = sides.each_mut().map(Side::look);
    if redis != memory {
        return Err(format!(
            "in the end:\n  redis:  {redis}\n  memory: {memory}"
        ));
    }
    Ok(())
}

#[test]
fn any_sequence_of_steps_is_answered_the_same_by_both_stores() {
    let (redis, memory) = (Environment::redis(), Environment::memory());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    // In cells, because the runner takes a closure that cannot mutate.
    let sides = RefCell::new([Side::on(&redis), Side::on(&memory)]);
    let cases = RefCell::new(0..);
    let played = TestRunner::new(config).run(&steps(), |steps| {
        let case = cases.borrow_mut().next().unwrap_or_default();
        difference(case, &mut sides.borrow_mut(), &steps).map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(difference, steps)) = played {
        panic!("{difference}\nof {steps:#?}");
    }
    played.expect("steps can be made");
    for side in sides.into_inner() {
        side.assert_all_was_seen();
    }
}
