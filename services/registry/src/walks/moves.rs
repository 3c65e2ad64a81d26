//! What people do, drawn at random, and what must come of it.

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Nurse,
    TokyoNurse,
    Physician,
    Doctor,
    Coordinator,
}

/// One thing that is done. Cases, filings and facts are drawn by number, modulo how many there are then.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Register { who: Who, person: usize },
    File { hospital: bool, tokyo: bool, person: usize, named: bool },
    Amend { filing: usize, day: u8 },
    Withdraw { filing: usize },
    Forward { filing: usize },
    Acknowledge { filing: usize },
    Offer { who: Who, case: usize },
    Answer { who: Who, case: usize, accepts: bool },
    Test { who: Who, case: usize, day: u8, positive: bool },
    Place { who: Who, case: usize, day: u8, hospital: bool },
    End { who: Who, case: usize, died: bool },
    Retract { who: Who, case: usize, fact: usize },
    Join { who: Who, case: usize, into: usize },
}

/// What must be so after the moves.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Whether each filing still stands.
    filings: Vec<bool>,
}

impl State {
    /// Whether a filing stands.
    pub(super) fn stands(&self, filing: usize) -> bool {
        self.filings[filing]
    }
}

pub(super) struct Walk;

impl ReferenceStateMachine for Walk {
    type State = State;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<State> {
        Just(State::default()).boxed()
    }

    fn transitions(_: &State) -> BoxedStrategy<Move> {
        let who = || {
            prop_oneof![
                4 => Just(Who::Nurse),
                2 => Just(Who::TokyoNurse),
                2 => Just(Who::Physician),
                2 => Just(Who::Doctor),
                1 => Just(Who::Coordinator),
            ]
        };
        let number = || 0_usize..8;
        let day = || 20_u8..31;
        let flag = any::<bool>;
        prop_oneof![
            3 => (who(), 0_usize..4).prop_map(|(who, person)| Move::Register { who, person }),
            4 => (flag(), flag(), 0_usize..4, flag())
                .prop_map(|(hospital, tokyo, person, named)| Move::File { hospital, tokyo, person, named }),
            2 => (number(), day()).prop_map(|(filing, day)| Move::Amend { filing, day }),
            1 => number().prop_map(|filing| Move::Withdraw { filing }),
            1 => number().prop_map(|filing| Move::Forward { filing }),
            2 => number().prop_map(|filing| Move::Acknowledge { filing }),
            2 => (who(), number()).prop_map(|(who, case)| Move::Offer { who, case }),
            2 => (who(), number(), flag()).prop_map(|(who, case, accepts)| Move::Answer { who, case, accepts }),
            3 => (who(), number(), day(), flag())
                .prop_map(|(who, case, day, positive)| Move::Test { who, case, day, positive }),
            3 => (who(), number(), day(), flag())
                .prop_map(|(who, case, day, hospital)| Move::Place { who, case, day, hospital }),
            1 => (who(), number(), flag()).prop_map(|(who, case, died)| Move::End { who, case, died }),
            2 => (who(), number(), number()).prop_map(|(who, case, fact)| Move::Retract { who, case, fact }),
            1 => (who(), number(), number()).prop_map(|(who, case, into)| Move::Join { who, case, into }),
        ]
        .boxed()
    }

    fn apply(mut state: State, step: &Move) -> State {
        match *step {
            Move::File { .. } => state.filings.push(true),
            Move::Withdraw { filing } if !state.filings.is_empty() => {
                let number = state.filings.len();
                state.filings[filing % number] = false;
            }
            _ => {}
        }
        state
    }
}
