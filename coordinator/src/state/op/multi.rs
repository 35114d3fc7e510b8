//! multi: all or nothing, with one zxid and one time.

use super::{Call, create};
use crate::state::{Effects, State};
use crate::wire::code::Code;
use crate::wire::multi::{Multi, MultiOp, put_end, put_result_error, put_result_header};
use crate::wire::opcode::OpCode;
use crate::wire::request::Request;

impl State {
    /// Operations see what those before them did. If one fails, what was done is undone and the
    /// results say which it was.
    pub(super) fn multi(
        &mut self,
        call: Call<'_>,
        multi: &Multi<'_>,
        effects: &mut Effects,
        mut reply: Option<&mut Vec<u8>>,
    ) {
        let reply_start = reply.as_ref().map_or(0, |reply| reply.len());
        let mark = effects.mark();
        self.quotas.begin();
        self.tree.begin();
        let failed = multi.iter().enumerate().find_map(|(at, part)| {
            let done = self.part(call, &part, effects, reply.as_deref_mut());
            done.err().map(|code| (at, code))
        });
        self.quotas.end(failed.is_some());
        let Some((culprit, code)) = failed else {
            self.tree.commit();
            if let Some(reply) = reply {
                put_end(reply);
            }
            return;
        };
        self.tree.rollback();
        effects.back_to(mark);
        let Some(reply) = reply else { return };
        reply.truncate(reply_start);
        for at in 0..multi.len() {
            put_result_error(
                reply,
                match at.cmp(&culprit) {
                    std::cmp::Ordering::Less => Code::Ok,
                    std::cmp::Ordering::Equal => code,
                    std::cmp::Ordering::Greater => Code::RuntimeInconsistency,
                },
            );
        }
        put_end(reply);
    }

    fn part(
        &mut self,
        call: Call<'_>,
        part: &MultiOp<'_>,
        effects: &mut Effects,
        mut reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        if let Some(reply) = &mut reply {
            put_result_header(reply, result_type(part.op));
        }
        match part.request {
            Request::Create(request)
            | Request::Create2(request)
            | Request::CreateContainer(request)
            | Request::CreateTtl(request) => {
                let mode = create::Mode::of(part.op, &request, call.session, true)?;
                self.create(call, &request, mode, part.op, effects, reply)
            }
            Request::Delete(request) => self.delete(call, &request, effects),
            Request::SetData(request) => self.set_data(call, &request, effects, reply),
            Request::Check(request) => self.check(call, &request),
            // The decoder lets nothing else into a multi.
            _ => Err(Code::MarshallingError),
        }
    }
}

/// All creations that answer with a Stat are create2 in results, as `CreateResult` has it.
fn result_type(op: OpCode) -> OpCode {
    match op {
        OpCode::CreateContainer | OpCode::CreateTtl => OpCode::Create2,
        op => op,
    }
}
