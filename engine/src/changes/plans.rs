//! Plans that are being made: what becomes of live sessions takes a walk over them.

use std::collections::VecDeque;

use causeway_control::api::{Answer, FatesView, PlanView};
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::time::Instant;

use crate::api::Asked;

/// Requests of these walks; those of others are counted from 0 on.
const REQUESTS: u64 = 1 << 63;

/// Who waits for a plan.
#[derive(Default)]
pub(crate) struct Plans {
    waiting: VecDeque<(Asked, Box<Config>, Vec<String>)>,
    /// The one that is being made, while sessions are looked at.
    going: Option<(Asked, PlanView)>,
    requests: u64,
}

impl Plans {
    /// One more is to be made, for this configuration, which is sound but for these warnings.
    pub(crate) fn begin(&mut self, asked: Asked, config: Box<Config>, warnings: Vec<String>) {
        self.waiting.push_back((asked, config, warnings));
    }

    /// Answers whose plan is there, and starts on the next.
    pub(crate) fn advance(&mut self, control: &mut Control, now: Instant) {
        if let Some(judged) = control.take_judged()
            && let Some((asked, view)) = self.going.take()
        {
            let sessions = Some(FatesView::of(control, &judged));
            asked.answer(Answer::Plan(Box::new(PlanView { sessions, ..view })));
        }
        while self.going.is_none()
            && let Some((asked, config, warnings)) = self.waiting.pop_front()
        {
            match control.prepare(*config, now) {
                Ok(mut prepared) => {
                    self.requests += 1;
                    let view = PlanView::of(&prepared, warnings);
                    let started = control.judge_sessions(REQUESTS + self.requests, &mut prepared);
                    debug_assert!(started, "no other walk of this kind goes on");
                    self.going = Some((asked, view));
                }
                Err(why) => asked.answer(Answer::Refused(why.into())),
            }
        }
    }
}
