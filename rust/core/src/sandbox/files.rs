//! Landlock: which files may be opened, and as what.
//!
//! The rules about files of the first version are required, what came later (moving, truncating, TCP, abstract sockets
//! and signals) is put on where the kernel has it.

use std::io::{Error, Result};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Profile, Settings};

/// The newest version whose rules are asked for.
const NEWEST: ABI = ABI::V6;

/// Restricts this thread for good; says what this kernel's Landlock does not have.
pub(super) fn restrict(settings: &Settings) -> Result<String> {
    let status = ruleset(settings).map_err(|error| Error::other(format!("Landlock: {error}")))?;
    match status {
        RulesetStatus::FullyEnforced => Ok(String::new()),
        RulesetStatus::PartiallyEnforced => Ok(
            "this kernel's Landlock has no rules yet about TCP, abstract sockets or signals"
                .to_string(),
        ),
        RulesetStatus::NotEnforced => Err(Error::other("this kernel has no Landlock")),
    }
}

fn ruleset(settings: &Settings) -> std::result::Result<RulesetStatus, landlock::RulesetError> {
    let read: BitFlags<AccessFs> = match settings.profile {
        Profile::Agent => AccessFs::ReadFile | AccessFs::ReadDir,
        Profile::Tool | Profile::Build => AccessFs::from_read(NEWEST),
    };
    let slot = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    // a tool reaches its proxy; signals and abstract sockets stay among its own processes
    let port = (settings.proxy_port != 0)
        .then(|| NetPort::new(settings.proxy_port, AccessNet::ConnectTcp));
    let made = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(&settings.read, read))?
        .add_rules(path_beneath_rules(
            &settings.write,
            AccessFs::from_all(NEWEST),
        ))?
        .add_rules(path_beneath_rules(&settings.files, slot))?
        .add_rules(port.map(Ok::<_, landlock::RulesetError>))?
        .restrict_self()?;
    Ok(made.ruleset)
}
