//! What layers amount to, and what the filter has to do where others are missing.

use super::*;

#[test]
fn tiers() {
    use Layer::{Itself, Landlock, Limits, Namespaces, Seccomp};
    let base = [Itself, Limits, Seccomp];
    let with = |more: &[Layer]| Tier::of(&[&base[..], more].concat());
    assert_eq!(with(&[Landlock, Namespaces]), Tier::A);
    assert_eq!(with(&[Landlock]), Tier::B);
    assert_eq!(with(&[Namespaces]), Tier::C);
    assert_eq!(with(&[]), Tier::C);
    for missing in base {
        let left: Vec<Layer> = Layer::ALL.into_iter().filter(|l| *l != missing).collect();
        assert_eq!(Tier::of(&left), Tier::X, "{missing:?}");
    }
}

#[test]
fn what_others_hold() {
    let mut settings = probe::settings(&Layer::ALL);
    settings.proxy_port = 8080;
    let of = |landlock: Option<&Result<String>>| {
        let found = beside(&settings, landlock, false);
        (found.files, found.network, found.signals)
    };
    assert_eq!(of(Some(&Ok(String::new()))), (true, true, true));
    assert_eq!(of(Some(&Ok("no scopes".into()))), (true, false, false));
    assert_eq!(of(Some(&Err(Error::other("none")))), (false, false, false));
    assert_eq!(of(None), (true, false, false));
    settings.proxy_port = 0;
    let found = beside(&settings, Some(&Ok(String::new())), true);
    assert!(!found.network && found.world);
}
