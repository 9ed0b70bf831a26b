//! What became of a frame.

use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::print;

use super::Ended;
use super::oracle::is_sound;

/// A frame that went through the forwarder: how it came, and what became of it.
pub(crate) struct Sent {
    pub(crate) verdict: Verdict,
    pub(crate) came: Vec<u8>,
    /// As it came to the first worker; `came` is how it came in again, if it did.
    pub(crate) first: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offload: Offload,
    pub(crate) ingress: PortId,
    /// Did it leave its island at one worker and come in again at another?
    pub(crate) turned: bool,
}

impl Sent {
    pub(super) fn new(came: &(PortId, Vec<u8>, Offload), ended: Ended) -> Sent {
        let sent = Sent::copied(came, &ended);
        drop(ended.frame.into_heap().expect("tests keep their frames on the heap"));
        sent
    }

    /// As [`Sent::new`], of a frame that goes back to its owner.
    pub(super) fn copied(came: &(PortId, Vec<u8>, Offload), ended: &Ended) -> Sent {
        let Ended { frame, verdict, turned, .. } = ended;
        let (bytes, offload) = (frame.bytes().to_vec(), frame.offload);
        let before = turned.as_ref().unwrap_or(&came.1).clone();
        Sent {
            verdict: *verdict,
            came: before,
            first: came.1.clone(),
            bytes,
            offload,
            ingress: came.0,
            turned: turned.is_some(),
        }
    }

    /// The frame as it goes out of `port`. Its checksums are right if they were.
    #[track_caller]
    pub(crate) fn forwarded(&self, port: PortId) -> &[u8] {
        assert_eq!(self.verdict, Verdict::Forward(port), "{}", self.story());
        if is_sound(&self.came, &self.offload).is_ok() {
            assert_eq!(is_sound(&self.bytes, &self.offload), Ok(()), "{}", self.story());
        }
        &self.bytes
    }

    /// The answer, which goes out where the frame came in, with right checksums.
    #[track_caller]
    pub(crate) fn replied(&self) -> &[u8] {
        assert_eq!(self.verdict, Verdict::Reply(self.ingress), "{}", self.story());
        assert_eq!(is_sound(&self.bytes, &self.offload), Ok(()), "{}", self.story());
        &self.bytes
    }

    /// As [`Sent::replied`], of a fragment: what it is a piece of has the checksum.
    #[track_caller]
    pub(crate) fn answered(&self) -> &[u8] {
        assert_eq!(self.verdict, Verdict::Reply(self.ingress), "{}", self.story());
        &self.bytes
    }

    /// Asserts that it was dropped, for this reason.
    #[track_caller]
    pub(crate) fn dropped(&self, reason: DropReason) {
        assert_eq!(self.verdict, Verdict::Drop(reason), "{}", self.story());
    }

    /// Asserts that a copy was kept until the first fragment of its datagram comes.
    #[track_caller]
    pub(crate) fn held(&self) {
        assert_eq!(self.verdict, Verdict::Hold, "{}", self.story());
    }

    /// Asserts that it was handed to control, for this reason.
    #[track_caller]
    pub(crate) fn punted(&self, reason: PuntReason) {
        assert_eq!(self.verdict, Verdict::Punt(reason), "{}", self.story());
    }

    /// Before, verdict, after: for messages of failed tests.
    pub(crate) fn story(&self) -> String {
        format!(
            "\n  in by port {}: {}\n  {:?}\n  now: {}\n  {:?}",
            self.ingress,
            print::line(&self.came),
            self.verdict,
            print::line(&self.bytes),
            self.offload
        )
    }
}
