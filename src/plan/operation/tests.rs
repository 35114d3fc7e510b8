//! Operations against the shell that they call.

use super::*;

/// Every function that an operation calls is in the library that it names, or in the prelude.
#[test]
fn every_function_is_in_its_library() {
    let text = || String::from("x");
    let access = Access::new("root", "root", "644");
    let release = Release { root: text(), name: text(), user: text(), sha512: text(), aside: None };
    let source = Carried { path: "x".into(), bytes: 1 };
    let all = [
        Operation::CreateGroup { name: text() },
        Operation::CreateUser { name: text(), group: text() },
        Operation::RemoveUser { name: text() },
        Operation::RemoveGroup { name: text() },
        Operation::SwapOff { areas: vec![] },
        Operation::MaskSwapUnits { units: vec![] },
        Operation::DisableZram,
        Operation::CommentSwapLines { sha256: text(), lines: vec![1] },
        Operation::RestoreSwapLines,
        Operation::SetSysctl { settings: vec![Setting { key: text(), value: 1 }] },
        Operation::MakeDirectory { path: text(), access: access.clone() },
        Operation::RemoveDirectory { path: text() },
        Operation::PurgeDirectory { path: text() },
        Operation::UnpackRelease { release: release.clone(), bytes: 1, tarball: None },
        Operation::DownloadRelease { release, urls: vec![text()] },
        Operation::RemoveReleases { root: text() },
        Operation::MakeSymlink { path: text(), target: text(), aside: None },
        Operation::RemoveSymlink { path: text() },
        Operation::WriteFile {
            path: text(),
            access: access.clone(),
            content: text(),
            secret: false,
            aside: None,
        },
        Operation::PurgeData { path: text(), owner: text() },
        Operation::RemoveFile { path: text() },
        Operation::RequestCertificate { tool: text(), store: text() },
        Operation::InstallCertificate {
            store: text(),
            access: access.clone(),
            subject: text(),
            names: vec![text()],
            chain: text(),
        },
        Operation::InstallBinary { path: text(), sha256: text(), source },
        Operation::RemoveBinaries { paths: vec![] },
        Operation::EnableUnit { unit: text(), reload: true },
        Operation::ReloadUnits,
        Operation::StartUnit { unit: text(), again: true },
        Operation::StopUnit { unit: text() },
        Operation::RestartUnit { unit: text(), stop_s: None },
        Operation::DisableUnit { unit: text() },
        Operation::AwaitService(Awaited { unit: text(), seconds: 1, command: vec![] }),
        Operation::AwaitMajority { majority: 1, servers: vec![], tool: text() },
        Operation::AwaitCounted { tool: text(), server: text(), others: 1 },
        Operation::WriteAndRead {
            tool: text(),
            znode: text(),
            value: text(),
            writer: text(),
            readers: vec![],
        },
        Operation::KeepPrevious { folder: text(), change: text(), unit: text(), files: vec![] },
        Operation::PutBack { folder: text(), change: text(), files: vec![] },
        Operation::RollBack { folder: text(), files: vec![] },
        Operation::Admin { tool: text(), socket: text(), command: vec![] },
        Operation::LoadBackup {
            tool: text(),
            config: text(),
            bytes: 1,
            ensemble_id: text(),
            epoch: 1,
        },
    ];
    for operation in all.into_iter().chain(MoveStep::each().into_iter().map(Operation::Move)) {
        let mut script = Script::new("n");
        operation.step("name", &mut script);
        let definition = format!("\n{}() {{", operation.function());
        assert!(script.render().contains(&definition), "{operation:?}");
        let saved = serde_json::to_string(&operation).expect("JSON");
        let read: Operation = serde_json::from_str(&saved).expect("what was written");
        assert_eq!(read, operation);
    }
}
