//! Plans that are being made: what becomes of live sessions takes a walk over them.

use std::collections::VecDeque;

use causeway_control::api::{Answer, Ask, FatesView, PlanView, Show};
use causeway_control::control::Control;
use causeway_fastpath::time::Instant;

use super::{Changes, Plan};
use crate::api::Asked;

/// Requests of these walks; those of others are counted from 0 on.
const REQUESTS: u64 = 1 << 63;

/// Who waits for a plan.
#[derive(Default)]
pub(crate) struct Plans {
    waiting: VecDeque<Asked>,
    /// The first one's, while sessions are looked at.
    going: Option<PlanView>,
    requests: u64,
}

impl Plans {
    /// One more is to be made.
    pub(crate) fn begin(&mut self, asked: Asked) {
        self.waiting.push_back(asked);
    }

    /// Answers whose plan is there, and starts on the next.
    pub(crate) fn advance(&mut self, changes: &Changes, control: &mut Control, now: Instant) {
        if let Some(judged) = control.take_judged()
            && let Some(view) = self.going.take()
            && let Some(asked) = self.waiting.pop_front()
        {
            let sessions = Some(FatesView::of(control, &judged));
            asked.answer(Answer::Plan(Box::new(PlanView { sessions, ..view })));
        }
        while self.going.is_none()
            && let Some(asked) = self.waiting.front()
        {
            let Ask::Show(Show::Plan { config }) = &asked.ask else {
                self.waiting.pop_front();
                continue;
            };
            match changes.plan(control, config, now) {
                Ok(Plan { mut prepared, view, .. }) => {
                    self.requests += 1;
                    if control.judge_sessions(REQUESTS + self.requests, &mut prepared) {
                        self.going = Some(view);
                    }
                    return;
                }
                Err(refusal) => {
                    if let Some(asked) = self.waiting.pop_front() {
                        asked.answer(Answer::Refused(refusal));
                    }
                }
            }
        }
    }
}
