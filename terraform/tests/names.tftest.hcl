# Plans only, nothing is made. The provider asks AWS which account this is: it needs credentials and a region.

variables {
  name = "orders"
}

run "defaults" {
  command = plan

  assert {
    condition     = output.environment == "devl"
    error_message = "environment should be devl: ${output.environment}"
  }

  assert {
    condition     = can(regex("^orders-state-machine-devl-[a-z0-9-]+$", output.state_machine_name))
    error_message = "not <name>-<part>-<environment>-<region>: ${output.state_machine_name}"
  }

  assert {
    condition     = can(regex("^arn:aws[a-z-]*:states:[a-z0-9-]+:[0-9]{12}:stateMachine:${output.state_machine_name}$", output.state_machine_arn))
    error_message = "the ARN should be known when planning: ${output.state_machine_arn}"
  }

  assert {
    condition     = can(regex("^orders-integration-bucket-[0-9]{12}-devl-[a-z0-9-]+$", output.bucket))
    error_message = "not <name>-integration-bucket-<account>-<environment>-<region>: ${output.bucket}"
  }

  assert {
    condition     = endswith(output.topic_arn, ":${output.topic_name}") && startswith(output.topic_name, "orders-topic-devl-")
    error_message = "unexpected topic: ${output.topic_arn}"
  }

  assert {
    condition     = startswith(output.queue_name, "orders-queue-devl-") && startswith(output.undeliverable_queue_name, "orders-undeliverable-queue-devl-") && startswith(output.dead_letter_queue_name, "orders-dead-letter-queue-devl-")
    error_message = "unexpected queues: ${output.queue_name}, ${output.undeliverable_queue_name}, ${output.dead_letter_queue_name}"
  }

  assert {
    condition     = output.log_group_names.processing == "/aws/lambda/${output.processing_function_name}"
    error_message = "unexpected log group: ${output.log_group_names.processing}"
  }

  assert {
    condition     = alltrue([for owner, alarms in output.alarm_arns : length(alarms) == 5])
    error_message = "each function and the pipeline should have five alarms"
  }

  assert {
    condition     = output.dashboard_name == null
    error_message = "there should be no dashboard"
  }

  assert {
    condition     = length(output.subscription_arns) == 0 && length(output.drift) == 0
    error_message = "there should be neither subscriptions nor drift"
  }
}

run "environment_and_prefixes" {
  command = plan

  variables {
    environment = "prod"
    bucket      = { inbound_prefix = "answers/", outbound_prefix = "work/" }
  }

  assert {
    condition     = output.inbound_prefix == "answers/" && output.outbound_prefix == "work/"
    error_message = "the prefixes given should be used"
  }

  assert {
    condition     = startswith(output.processing_function_name, "orders-processing-prod-")
    error_message = "the environment should be in names: ${output.processing_function_name}"
  }
}
