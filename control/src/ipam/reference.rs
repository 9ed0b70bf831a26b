//! The slow twin of [`CidrSet`]: one boolean a block, as Kubernetes has it.

use ipnet::IpNet;
use proptest::prelude::*;

use super::{CidrSet, CidrSetError};

struct Reference {
    used: Vec<bool>,
    next: usize,
}

impl Reference {
    fn allocate_next(&mut self) -> Option<usize> {
        let count = self.used.len();
        let found = (0..count).map(|step| (self.next + step) % count).find(|&block| !self.used[block])?;
        self.used[found] = true;
        self.next = (found + 1) % count;
        Some(found)
    }

    fn set(&mut self, first: u64, last: u64, used: bool) {
        for block in first..=last {
            self.used[block as usize] = used;
        }
    }

    fn used(&self) -> u64 {
        self.used.iter().filter(|&&used| used).count() as u64
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Allocate,
    Occupy(IpNet),
    Release(IpNet),
}

fn operation() -> impl Strategy<Value = Operation> {
    let within = (any::<u16>(), 14_u8..=28).prop_map(|(low, length)| {
        let [high, low] = low.to_be_bytes();
        IpNet::new([10, 42, high, low].into(), length).unwrap().trunc()
    });
    prop_oneof![
        4 => Just(Operation::Allocate),
        1 => within.clone().prop_map(Operation::Occupy),
        2 => within.prop_map(Operation::Release),
    ]
}

proptest! {
    #[test]
    fn the_set_agrees_with_its_slow_twin(
        operations in prop::collection::vec(operation(), 0..200),
        mask in 16_u8..=22,
    ) {
        let cluster: IpNet = "10.42.0.0/16".parse().unwrap();
        let mut fast = CidrSet::new(cluster, mask).unwrap();
        let mut slow = Reference { used: vec![false; 1 << (mask - 16)], next: 0 };
        for operation in operations {
            match operation {
                Operation::Allocate => {
                    let expected = slow
                        .allocate_next()
                        .map(|block| fast.block(block as u64))
                        .ok_or(CidrSetError::NoneLeft);
                    prop_assert_eq!(fast.allocate_next(), expected);
                }
                Operation::Occupy(cidr) => {
                    let (first, last) = fast.blocks_of(cidr).unwrap();
                    fast.occupy(cidr).unwrap();
                    slow.set(first, last, true);
                }
                Operation::Release(cidr) => {
                    let (first, last) = fast.blocks_of(cidr).unwrap();
                    fast.release(cidr).unwrap();
                    slow.set(first, last, false);
                }
            }
            prop_assert_eq!(fast.used(), slow.used());
            prop_assert_eq!(fast.used() + fast.free(), slow.used.len() as u64);
        }
    }
}
