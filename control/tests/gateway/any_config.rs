//! Random configurations over the same ports, that have much in common.

use causeway_control::config::Config;
use causeway_testkit::seed::Rng;

/// How many ports clusters may live on; behind them is one to the outside.
const INSIDE: usize = 4;

/// The text of a configuration.
pub(crate) struct AnyConfig {
    ports: Vec<String>,
    rest: String,
}

impl AnyConfig {
    /// Its ports stand in the order that all of them have.
    pub(crate) fn text(&self) -> String {
        self.rest.clone() + &self.ports.concat()
    }

    /// They stand in any order.
    pub(crate) fn shuffled(&self, rng: &mut Rng) -> String {
        let mut ports = self.ports.clone();
        rng.shuffle(&mut ports);
        self.rest.clone() + &ports.concat()
    }

    pub(crate) fn config(&self) -> Config {
        Config::parse("any.toml", &self.text()).unwrap_or_else(|errors| panic!("{errors}")).0
    }
}

/// A sound configuration.
pub(crate) fn any_config(rng: &mut Rng) -> AnyConfig {
    let sound = |any: &AnyConfig| Config::parse("any.toml", &any.text()).is_ok();
    (0..200).map(|_| draw(rng)).find(sound).expect("some are sound")
}

fn draw(rng: &mut Rng) -> AnyConfig {
    let mut text = "gateway.name = \"g\"\n".to_owned();
    if rng.chance(1, 4) {
        text += "gateway.icmp-errors-per-second = 77\n";
    }
    if rng.chance(1, 4) {
        text += "[timers]\nudp-s = 200\n";
    }
    let mut ports = Vec::new();
    for port in 0..=INSIDE {
        let name = if port == INSIDE { "out".to_owned() } else { format!("in{port}") };
        let v4 = if port == INSIDE { "203.0.113.2/24".to_owned() } else { format!("192.168.{port}.1/24") };
        let mut addresses = vec![v4];
        if rng.chance(1, 2) {
            addresses.push(format!("fd00:a:{port}::1/64"));
        }
        if rng.chance(1, 4) {
            addresses.push(format!("172.16.{port}.1/24"));
        }
        ports.push(format!("[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = {addresses:?}\n"));
    }
    let mut pools: Vec<usize> = (0..3).filter(|_| rng.chance(2, 3)).collect();
    rng.shuffle(&mut pools);
    for pool in &pools {
        let length = *rng.choose(&[29, 29, 30]);
        text += &format!("[[pool]]\nname = \"pool{pool}\"\naddresses = [\"203.0.113.{}/{length}\"]\n", 16 + 8 * pool);
        text += *rng.choose(&["", "", "keep-ports = true\n", "tcp-mapping = \"endpoint-independent\"\n"]);
        text += *rng.choose(&["", "", "ports = \"2000-60000\"\n"]);
    }
    let mut clusters: Vec<usize> = (0..INSIDE).filter(|_| rng.chance(2, 3)).collect();
    rng.shuffle(&mut clusters);
    for cluster in &clusters {
        any_cluster(rng, *cluster, &pools, &mut text);
    }
    for (to, chance) in [("0.0.0.0/0", 3), ("198.51.100.0/24", 2), ("10.0.0.0/8", 1)] {
        if rng.chance(chance, 4) {
            let via = rng.choose(&[
                "via = \"203.0.113.1\"",
                "via = [\"203.0.113.1\", \"203.0.113.3\"]",
                "type = \"blackhole\"",
            ]);
            text += &format!("[[route]]\nto = \"{to}\"\n{via}\n");
        }
    }
    for neighbor in [1, 3, 9] {
        if rng.chance(1, 3) {
            let mac = rng.below(3);
            text += &format!(
                "[[neighbor]]\nport = \"out\"\naddress = \"203.0.113.{neighbor}\"\nmac = \"02:00:00:00:00:0{mac}\"\n"
            );
        }
    }
    for cluster in &clusters {
        if rng.chance(1, 3) {
            let address = rng.choose(&["203.0.113.2", "203.0.113.17", "203.0.113.50"]);
            text += &format!(
                "[[forward]]\ncluster = \"c{cluster}\"\naddress = \"{address}\"\nprotocol = \"tcp\"\nport = {}\n\
                 to = \"10.{cluster}.1.{}\"\n",
                8000 + cluster,
                10 + rng.below(2)
            );
        }
        if rng.chance(1, 4) {
            text += &format!(
                "[[static-nat]]\ncluster = \"c{cluster}\"\naddress = \"203.0.113.{}\"\nto = \"10.{cluster}.1.{}\"\n",
                60 + rng.below(3),
                10 + rng.below(2)
            );
        }
    }
    for _ in 0..rng.below(3) {
        let party = |rng: &mut Rng| match clusters.as_slice() {
            clusters @ [_, ..] if rng.chance(2, 3) => format!("c{}", rng.choose(clusters)),
            _ => rng.choose(&["198.51.100.0/24", "0.0.0.0/0", "203.0.113.9/32"]).to_string(),
        };
        let (from, to) = (party(rng), party(rng));
        text += &format!(
            "[[policy]]\nfrom = [\"{from}\"]\nto = [\"{to}\"]\naction = \"{}\"\n",
            rng.choose(&["allow", "deny"])
        );
    }
    AnyConfig { ports, rest: text }
}

fn any_cluster(rng: &mut Rng, cluster: usize, pools: &[usize], text: &mut String) {
    let model = *rng.choose(&["island", "island", "island", "flat", "isolated"]);
    *text += &format!(
        "[[cluster]]\nname = \"c{cluster}\"\nmodel = \"{model}\"\npod-cidrs = [\"10.{cluster}.0.0/16\"]\nports = [\"in{cluster}\"]\n"
    );
    let egress = match pools {
        pools @ [_, ..] if rng.chance(2, 3) => format!("egress = \"pool{}\"\n", rng.choose(pools)),
        _ => "egress = \"masquerade\"\n".to_owned(),
    };
    match model {
        "isolated" => {}
        "flat" if rng.bool() => *text += "egress = \"none\"\n",
        _ => *text += &egress,
    }
    if model != "isolated" && rng.chance(1, 5) {
        *text += "non-masquerade-cidrs = [\"198.51.100.0/25\"]\n";
    }
    *text += *rng.choose(&["", "", "sessions-per-pod = 100\n", "tcp-pick-up = true\n"]);
    if rng.chance(1, 5) {
        *text += "nodes-from = { file = \"nodes.json\" }\n";
        return;
    }
    for node in 1..3 {
        if rng.chance(3, 4) {
            let given =
                if rng.chance(2, 3) { format!("pod-cidrs = [\"10.{cluster}.{node}.0/24\"]\n") } else { String::new() };
            *text += &format!(
                "[[cluster.node]]\nname = \"n{node}\"\naddress = \"192.168.{cluster}.{}\"\n{given}",
                10 + node
            );
        }
    }
}
