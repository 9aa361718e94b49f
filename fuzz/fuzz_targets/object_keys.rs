//! Object keys as S3 tells them: any text is refused or decoded, and what counts as an answer leads back to its own key.
#![no_main]

use bellflower_contract::{ExecutionId, InboundKey, Layout, decode_object_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let layout = Layout::default();
    for key in [decode_object_key(text).ok(), Some(text.to_owned())]
        .into_iter()
        .flatten()
    {
        if let InboundKey::Answer(answer, id) = layout.parse_inbound(&key) {
            assert_eq!(layout.answer_key(answer, &id), key);
            assert_eq!(ExecutionId::parse(id.as_str()).ok(), Some(id));
        }
    }
});
