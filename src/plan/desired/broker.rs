//! What a host has for its broker: configuration, unit, service. The folders of its partitions are
//! made with the others, and the release is the same one.

use crate::failure::Failure;
use crate::inventory::Broker;
use crate::layout::{
    ACCOUNT, BROKER_CONFIG_FILE, BROKER_LOGIN_FILE, BROKER_UNIT, BROKER_UNIT_FILE,
};
use crate::plan::change::Phase;
use crate::plan::operation::Access;
use crate::plan::resource::Resource;
use crate::plan::resource::file::{File, Rule};
use crate::plan::resource::service::{self, Service};
use crate::plan::subject::Subject;
use crate::plan::template::Page;

pub(super) fn resources(
    broker: &Broker,
    page: &Page<'_>,
    all: &mut Vec<Resource>,
) -> Result<(), Failure> {
    all.push(Resource::File(File {
        path: BROKER_CONFIG_FILE.into(),
        // What is passed through may hold passwords of keystores.
        access: Access::new("root", ACCOUNT, "640"),
        content: page.render("server.properties")?,
        phase: Phase::BrokerSwitch,
        rule: Rule::None,
    }));
    let unit = page.render("kafka.service")?;
    let settings = service::settings(&unit);
    all.push(Resource::File(File::plain(BROKER_UNIT_FILE, unit, Phase::BrokerSwitch)));
    all.push(Resource::Service(Service {
        unit: BROKER_UNIT.into(),
        fragment: BROKER_UNIT_FILE.into(),
        reads: vec![BROKER_UNIT_FILE.into(), BROKER_CONFIG_FILE.into(), BROKER_LOGIN_FILE.into()],
        exe: None,
        ports: broker.listeners.iter().map(|listener| listener.port).collect(),
        reload_after: vec![Subject::File(BROKER_UNIT_FILE.into())],
        phase: Phase::BrokerServe,
        settings,
    }));
    Ok(())
}
