//! The connections on which a server pushes changes.

#![allow(dead_code, unreachable_pub, reason = "shared by tests")]

use redis::Connection;

/// Their ids.
pub fn of(server: &mut Connection) -> Vec<u64> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(server).unwrap();
    let field = |line: &str, name: &str| {
        let mut words = line.split(' ');
        words.find_map(|word| word.strip_prefix(name).map(str::to_owned))
    };
    // `B`: broadcast mode.
    let lines = list.lines();
    let lines = lines.filter(|line| field(line, "flags=").is_some_and(|flags| flags.contains('B')));
    let ids = lines.map(|line| field(line, "id=").expect("each has one"));
    ids.map(|id| id.parse().expect("a number")).collect()
}

pub fn kill(server: &mut Connection, id: u64) {
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("ID").arg(id).exec(server).unwrap();
}
