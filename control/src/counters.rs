//! `docs/counters.md`: every counter of a worker with the sentence that explains it.

use causeway_fastpath::verdict::{DropReason, PuntReason};

/// The text of `docs/counters.md`, made from the reasons themselves.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n## Handed to control: `punt`\n\n| counter | packets that are |\n| --- | --- |\n");
    for reason in PuntReason::ALL {
        text.push_str(&format!("| `{}` | {} |\n", reason.name(), reason.sentence()));
    }
    text.push_str("\n## Dropped: `drop`\n\n| counter | why |\n| --- | --- |\n");
    for reason in DropReason::ALL {
        text.push_str(&format!("| `{}` | {} |\n", reason.name(), reason.sentence()));
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "\
# Counters

Every packet that comes in meets exactly one end, and each end has a counter. A fragment that is held ends there, and
comes in once more when it is released: `held` less `released` is what waits now. What is too big is cut up: its first
piece is the packet, and the others come in as `cut`. For every worker, always:

```text
received + injected + taken-over + released + cut = forwarded + replied + handed-off + held + all of punt + all of drop
```

`causeway show counters` prints those that are not 0, `--all` prints all, `--json` is for programs. A super-frame
(several segments in one frame) counts once. This page is generated; a test compares it with the program.

## Came in: `rx`

| counter | packets |
| --- | --- |
| `received` | From a port. |
| `injected` | From control: they waited for a neighbour and start again. |
| `taken-over` | From another worker. |
| `released` | Fragments that were held: the first of their datagram has come, or they are given up. |
| `cut` | Pieces behind the first of packets that were too big for their link and might be cut up. |

## Went on: `end`

| counter | packets |
| --- | --- |
| `forwarded` | Out of a port, as somebody else's packet. |
| `replied` | Out of a port, as the gateway's answer: echo replies and ICMP errors. |
| `handed-off` | To the worker that owns the flow. |
| `held` | Kept until the first fragment of its datagram comes. |
";

const TAIL: &str = "
## Translation: `nat`, `sessions`

| counter | what |
| --- | --- |
| `translated-out` | Packets forwarded out of a routing domain through a session: under an outside name, or tracked under their own. |
| `translated-in` | Packets forwarded to the host behind an outside name. |
| `translated-errors` | ICMP errors forwarded with their quote translated. |
| `sessions-created` | Sessions that began. |
| `sessions-ended` | Sessions that ended. |
| `sessions-ended-renamed` | Of those, because other tables give their flows another name or receiver: the next packet begins another session, a TCP connection breaks. |
| `sessions-ended-policy` | Because by other tables whoever began them may not any more. |
| `sessions-ended-forward` | Because nothing leads in to their receivers any more. |
| `alive-v4`, `alive-v6` | Sessions alive now. |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/counters.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).expect("docs/counters.md can be written");
        }
        let page = std::fs::read_to_string(path).expect("docs/counters.md is there");
        assert!(page == reference(), "docs/counters.md is out of date: run the tests with UPDATE_DOCS=1");
    }
}
