//! dns: one question over UDP; the response code decides.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::super::outcome::{Cause, Good, Trouble};
use super::super::steps::Steps;
use super::super::wire::{self, Peer};
use super::udp;
use crate::config::model::DnsProbe;

/// Datagrams that are no answer to our question before we give up.
const STRANGERS_MAX: usize = 16;

pub(super) async fn run(peer: Peer<'_>, dns: &DnsProbe, steps: &mut Steps) -> Result<Good, Trouble> {
    let question = question(dns)?;
    let id = RandomState::new().hash_one(peer.address) as u16;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    let payload = message.to_vec().map_err(|error| Trouble::new(Cause::Local, error.to_string()))?;
    let socket = udp::ask(peer, dns.port, &payload, steps).await?;
    let mut answer = [0u8; 4096];
    for _ in 0..STRANGERS_MAX {
        let count = socket.recv(&mut answer).await.map_err(|error| wire::named(&error))?;
        let reply = Message::from_vec(answer.get(..count).unwrap_or_default())
            .map_err(|error| Trouble::new(Cause::Protocol, format!("not a DNS message: {error}")))?;
        // Late answers to other questions and forged ones (RFC 5452, 9.1) are passed over.
        let ours = reply.metadata.id == id && reply.metadata.message_type == MessageType::Response;
        if ours && reply.queries.first().is_none_or(|echoed| *echoed == question) {
            return judge(dns, &reply, steps);
        }
    }
    Err(Trouble::new(Cause::Protocol, "only answers to other questions came"))
}

fn question(dns: &DnsProbe) -> Result<Query, Trouble> {
    let refuse = |error: String| Trouble::new(Cause::Local, format!("the question cannot be asked: {error}"));
    let mut name = Name::from_ascii(&dns.name).map_err(|error| refuse(error.to_string()))?;
    name.set_fqdn(true);
    let record_type = RecordType::from_str(dns.record_type).map_err(|error| refuse(error.to_string()))?;
    Ok(Query::query(name, record_type))
}

fn judge(dns: &DnsProbe, reply: &Message, steps: &mut Steps) -> Result<Good, Trouble> {
    let code = reply.metadata.response_code;
    let seen = format!("{code}, {} answers", reply.answers.len());
    if u16::from(code) != u16::from(dns.rcode) {
        let wanted = ResponseCode::from(0, dns.rcode);
        return Err(Trouble::new(Cause::Rcode, format!("{seen}; expected {wanted}")));
    }
    steps.end(|| seen.clone());
    Ok(Good::new(seen))
}
