//! Operation numbers, `ZooDefs.OpCode`, and the few that exist in the replicated log only.

/// An operation this server knows. Numbers it does not know stay `i32` in the request header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum OpCode {
    /// Log only: session moves to another server. Not a number of ZooKeeper's.
    AttachSession = -12,
    CloseSession = -11,
    /// Log only: a client asks for a session by its first frame.
    CreateSession = -10,
    /// Marks a failed operation in the results of a multi.
    Error = -1,
    /// ZooKeeper calls it notification.
    Notification = 0,
    Create = 1,
    Delete = 2,
    Exists = 3,
    GetData = 4,
    SetData = 5,
    GetAcl = 6,
    SetAcl = 7,
    GetChildren = 8,
    Sync = 9,
    Ping = 11,
    GetChildren2 = 12,
    Check = 13,
    Multi = 14,
    Create2 = 15,
    Reconfig = 16,
    CheckWatches = 17,
    RemoveWatches = 18,
    CreateContainer = 19,
    /// Log only: the leader's reaper of containers and TTL nodes.
    DeleteContainer = 20,
    CreateTtl = 21,
    MultiRead = 22,
    Auth = 100,
    SetWatches = 101,
    Sasl = 102,
    GetEphemerals = 103,
    GetAllChildrenNumber = 104,
    SetWatches2 = 105,
    AddWatch = 106,
    WhoAmI = 107,
}

impl OpCode {
    /// Every number of the table, internal ones included.
    pub fn from_i32(number: i32) -> Option<Self> {
        Some(match number {
            -12 => Self::AttachSession,
            -11 => Self::CloseSession,
            -10 => Self::CreateSession,
            -1 => Self::Error,
            0 => Self::Notification,
            1 => Self::Create,
            2 => Self::Delete,
            3 => Self::Exists,
            4 => Self::GetData,
            5 => Self::SetData,
            6 => Self::GetAcl,
            7 => Self::SetAcl,
            8 => Self::GetChildren,
            9 => Self::Sync,
            11 => Self::Ping,
            12 => Self::GetChildren2,
            13 => Self::Check,
            14 => Self::Multi,
            15 => Self::Create2,
            16 => Self::Reconfig,
            17 => Self::CheckWatches,
            18 => Self::RemoveWatches,
            19 => Self::CreateContainer,
            20 => Self::DeleteContainer,
            21 => Self::CreateTtl,
            22 => Self::MultiRead,
            100 => Self::Auth,
            101 => Self::SetWatches,
            102 => Self::Sasl,
            103 => Self::GetEphemerals,
            104 => Self::GetAllChildrenNumber,
            105 => Self::SetWatches2,
            106 => Self::AddWatch,
            107 => Self::WhoAmI,
            _ => return None,
        })
    }

    pub fn as_i32(self) -> i32 {
        self as i32
    }

    /// What a client may send. The rest answers `UNIMPLEMENTED`, also where ZooKeeper would
    /// take it: a client has no business creating sessions or reaping containers.
    pub fn from_client(number: i32) -> Option<Self> {
        Self::from_i32(number).filter(|op| {
            !matches!(
                op,
                Self::AttachSession
                    | Self::CreateSession
                    | Self::Error
                    | Self::Notification
                    | Self::DeleteContainer
            )
        })
    }

    /// Goes through the replicated log, so consumes a zxid whatever comes out.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::AttachSession
                | Self::CloseSession
                | Self::CreateSession
                | Self::Create
                | Self::Delete
                | Self::SetData
                | Self::SetAcl
                | Self::Multi
                | Self::Create2
                | Self::Reconfig
                | Self::CreateContainer
                | Self::DeleteContainer
                | Self::CreateTtl
                | Self::Check
        )
    }
}
