//! What is in use of pools, and who was refused, for people.

use super::Forwarder;
use crate::address::Address;
use crate::command::{PoolCursor, PoolPage, RefusedPage};
use crate::ids::PoolId;

impl Forwarder {
    /// Fills a page with what is in use of pools, from its cursor on. Does not allocate:
    /// `rows` comes with the room it may fill.
    pub fn list_pools(&self, page: &mut PoolPage) {
        page.rows.clear();
        let mut left = page.limit.min(page.rows.capacity() as u32);
        while let Some(cursor) = page.cursor.filter(|_| left > 0) {
            left -= 1;
            let PoolCursor { v6, pool, address } = cursor;
            let row = match v6 {
                _ if pool >= page.end => None,
                false => self.v4.in_use(pool, address),
                true => self.v6.in_use(pool, address),
            };
            page.rows.extend(row);
            page.cursor = if row.is_some() {
                Some(PoolCursor { address: address + 1, ..cursor })
            } else if pool < page.end && pool.index() + 1 < self.snapshot.v4.pools.len() {
                Some(PoolCursor { v6, pool: PoolId(pool.0 + 1), address: 0 })
            } else {
                (!v6).then_some(PoolCursor { v6: true, ..PoolCursor::default() })
            };
        }
    }

    /// Fills a page with hosts that were refused, from its cursor on. Does not allocate, as
    /// [`Forwarder::list_pools`].
    pub fn list_refused(&self, page: &mut RefusedPage) {
        page.rows.clear();
        let limit = page.limit.min(page.rows.capacity() as u32);
        let Some(cursor) = page.cursor.filter(|_| limit > 0) else {
            return;
        };
        let rows = &mut page.rows;
        let next = if cursor.v6 {
            self.v6.refused(cursor.number, limit, |host, vrf, count| rows.push((vrf, host.to_ip(), count)))
        } else {
            self.v4.refused(cursor.number, limit, |host, vrf, count| rows.push((vrf, host.to_ip(), count)))
        };
        page.cursor = cursor.behind(next);
    }
}
