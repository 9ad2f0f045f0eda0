//! The protocol model: two environments, an admin, DynamoDB and Redis, the events between them, and the properties to
//! check.

use stateright::{Model, Property};

use crate::decision::{Decision, News, Word, moment};
use crate::environment::{Environment, Phase};
use crate::rules::Rules;
use crate::things::{Budget, Fate, Things};

/// Properties to check. If generations only rise, each is written once.
pub const RISES: &str = "the table's generation rises with every write";
pub const NOT_UNSEEN: &str = "no decision takes the place of one that its maker did not know";
pub const NEVER_BACK: &str = "Redis never goes back but by losing all";
pub const ONE_CONTENT: &str = "what Redis calls saved is what DynamoDB has, or had";
pub const WORD_HOLDS: &str = "an admin's word holds until it is over or another one follows";
pub const COMES_TOGETHER: &str = "when faults end Redis and DynamoDB come to have the same, as the admin said";

/// Model of the protocol under given rules and limits.
#[derive(Debug)]
pub struct World {
    rules: Rules,
    budget: Budget,
}

/// Event of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An environment reads Redis or reports to it. Redis may ask it to compare and to evaluate.
    Look { environment: usize, asks_truth: bool, news: Option<News> },
    /// An environment takes its next step.
    Step { environment: usize, fate: Fate },
    /// An environment ends, and a new one starts.
    Crash { environment: usize },
    /// A late write to DynamoDB is delivered.
    LateWrite(usize),
    /// A late write to Redis is delivered.
    LatePut(usize),
    /// Redis loses its content.
    Flush,
    /// The admin sets or releases an override.
    Say(Word),
    /// The override expires.
    Over,
}

impl World {
    /// Creates a model with these rules and limits.
    pub fn new(rules: Rules, budget: Budget) -> Self {
        Self { rules, budget }
    }
}

impl Model for World {
    type State = Things;
    type Action = Action;

    fn init_states(&self) -> Vec<Things> {
        let fresh = Decision::fresh();
        let things = |mirrored| Things {
            rules: self.rules,
            table: fresh.clone(),
            mirrored,
            environments: [Environment::new(), Environment::new()],
            late_writes: Vec::new(),
            late_puts: Vec::new(),
            left: self.budget,
            ticks: 0,
            is_over: false,
            said: None,
            history: vec![fresh.clone()],
            has_fallen: false,
            is_unseen: false,
            went_back: false,
        };
        vec![things(None), things(Some((fresh.clone(), true)))]
    }

    fn actions(&self, things: &Things, actions: &mut Vec<Action>) {
        let left = &things.left;
        // An idle environment may read Redis. A busy one goes on, with or without a fault, or crashes.
        for (environment, Environment { phase, .. }) in things.environments.iter().enumerate() {
            if *phase == Phase::Idle {
                if left.looks > 0 {
                    let looks =
                        [(true, None), (false, Some(News::Bad)), (false, Some(News::Good)), (true, Some(News::Bad))];
                    actions.extend(looks.map(|(asks_truth, news)| Action::Look { environment, asks_truth, news }));
                }
                continue;
            }
            let is_put = matches!(phase, Phase::Puts(..));
            let faults = if is_put { left.mirror_faults } else { left.table_faults };
            actions.push(Action::Step { environment, fate: Fate::Done });
            if faults > 0 {
                actions.push(Action::Step { environment, fate: Fate::Lost });
                if *phase != Phase::Reads {
                    actions.push(Action::Step { environment, fate: Fate::Late });
                }
            }
            if left.crashes > 0 {
                actions.push(Action::Crash { environment });
            }
        }
        // Late writes may arrive, Redis may lose its content, and the admin may act.
        actions.extend((0..things.late_writes.len()).map(Action::LateWrite));
        actions.extend((0..things.late_puts.len()).map(Action::LatePut));
        if left.mirror_faults > 0 && things.mirrored.is_some() {
            actions.push(Action::Flush);
        }
        if left.words > 0 && !things.is_over {
            actions.extend([Word::Open, Word::Closed, Word::Release].map(Action::Say));
        }
        if things.said.is_some() && !things.is_over {
            actions.push(Action::Over);
        }
    }

    fn next_state(&self, before: &Things, action: Action) -> Option<Things> {
        let mut things = before.clone();
        match action {
            Action::Look { environment, asks_truth, news } => {
                things.left.looks -= 1;
                things.look(environment, asks_truth, news);
            }
            Action::Step { environment, fate } => {
                let is_put = matches!(things.environments[environment].phase, Phase::Puts(..));
                let left = &mut things.left;
                let faults = if is_put { &mut left.mirror_faults } else { &mut left.table_faults };
                *faults -= u8::from(fate != Fate::Done);
                things.step(environment, fate);
            }
            Action::Crash { environment } => {
                things.left.crashes -= 1;
                things.environments[environment] = Environment::new();
            }
            Action::LateWrite(index) => {
                let write = things.late_writes.remove(index);
                drop(things.write(&write));
            }
            Action::LatePut(index) => {
                let (decision, is_saved) = things.late_puts.remove(index);
                things.put(&decision, is_saved);
            }
            Action::Flush => {
                things.left.mirror_faults -= 1;
                things.mirrored = None;
            }
            Action::Say(word) => {
                things.left.words -= 1;
                let told = things.table.told(word, moment(things.ticks, false))?;
                things.ticks += 1;
                things.replace(told);
                things.said = things.word();
            }
            Action::Over => things.is_over = true,
        }
        (things != *before).then_some(things)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RISES, |_, things: &Things| !things.has_fallen),
            Property::always(NOT_UNSEEN, |_, things: &Things| !things.is_unseen),
            Property::always(NEVER_BACK, |_, things: &Things| !things.went_back),
            Property::always(ONE_CONTENT, |_, things: &Things| {
                things
                    .mirrored
                    .as_ref()
                    .is_none_or(|(decision, is_saved)| !is_saved || things.history.contains(decision))
            }),
            Property::always(WORD_HOLDS, |_, things: &Things| things.is_over || things.word() == things.said),
            Property::always(COMES_TOGETHER, |_, things: &Things| things.comes_together(0) && things.comes_together(1)),
            Property::sometimes("a decision holds in Redis that DynamoDB does not have", |_, things: &Things| {
                things.mirrored.as_ref().is_some_and(|(decision, _)| decision.generation() > things.table.generation())
            }),
            Property::sometimes("an admin's word reaches Redis", |_, things: &Things| {
                things.mirrored.as_ref().is_some_and(|(decision, _)| decision.0.forced.is_some())
            }),
        ]
    }

    fn within_boundary(&self, things: &Things) -> bool {
        let mirrored = things.mirrored.as_ref().map_or(0, |(decision, _)| decision.generation());
        things.table.generation().max(mirrored) <= self.budget.generations
    }
}
