//! What `cargo xtask bench callbacks` measures, small enough for every day.

use bellflower_tests::Error;
use bellflower_tests::load::Load;

/// Calls fail and deliveries come twice, and yet every execution has its own answer and tells of it once.
#[tokio::test(flavor = "multi_thread")]
async fn no_callback_is_lost() -> Result<(), Error> {
    let load = Load {
        executions: 25,
        faults: true,
        duplicates: true,
    };
    let report = Box::pin(load.run()).await?;
    println!("{report}");
    assert_eq!(report.verdict(), Ok(()));
    Ok(())
}
