# What is given reaches the resource; what is left out has the provider's default. Plans only.

variables {
  name = "orders"
}

run "defaults_are_the_providers" {
  command = plan

  assert {
    condition     = bellflower_callback_pipeline.this.log_retention_in_days == 14
    error_message = "log_retention_in_days should be 14"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.bucket.force_destroy == false
    error_message = "force_destroy should be off"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.state_machine.processing_retry.max_attempts == 3
    error_message = "processing should be retried 3 times"
  }
}

run "parts_take_some_of_their_arguments" {
  command = plan

  variables {
    log_retention_in_days = 30
    tags                  = { Team = "fulfilment" }
    queue                 = { name = "my-queue", visibility_timeout_seconds = 600 }
    integration           = { timeout = 100, alarms = { invocations = { enabled = false }, errors = { threshold = 1 } } }
    state_machine         = { callback_timeout_seconds = 3600, processing_retry = { max_attempts = 1 } }
    timeouts              = { create = "30m" }

    subscriptions = {
      operator = { protocol = "email", endpoint = "operator@example.com" }
    }
  }

  assert {
    condition     = endswith(output.queue_arn, ":my-queue")
    error_message = "the queue should have the name given: ${output.queue_arn}"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.queue.visibility_timeout_seconds == 600 && bellflower_callback_pipeline.this.queue.delay_seconds == 0
    error_message = "one argument of the queue is given, another has its default"
  }

  assert {
    condition     = join(" ", keys(output.alarm_arns.integration)) == "concurrent_executions duration errors throttles"
    error_message = "an alarm left out should not be there: ${join(", ", keys(output.alarm_arns.integration))}"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.integration.alarms.errors.threshold == 1
    error_message = "an alarm's threshold should be the one given"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.integration.alarms.duration.threshold == 80000
    error_message = "the duration alarm should follow the function's time-out: 80 % of 100 s"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.tags_all["Team"] == "fulfilment"
    error_message = "tags should reach the parts"
  }

  assert {
    condition     = join(" ", keys(output.subscription_arns)) == "operator"
    error_message = "the subscription should be there under its name"
  }

  assert {
    condition     = bellflower_callback_pipeline.this.timeouts.create == "30m"
    error_message = "timeouts should be passed on"
  }
}

run "a_key_of_ones_own" {
  command = plan

  variables {
    # Some key of the region and account of the plan before, whichever these are.
    kms_key_arn = "${replace(trimsuffix(run.parts_take_some_of_their_arguments.queue_arn, ":my-queue"), ":sqs:", ":kms:")}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition     = output.kms_key_arn == var.kms_key_arn && bellflower_callback_pipeline.this.key == null
    error_message = "no key should be made"
  }
}
