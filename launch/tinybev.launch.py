"""Starts the node, a Foxglove server and, with ``bag:=``, playback: the list is tinybev_ros/bringup.py."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from tinybev_ros.bringup import ARGUMENTS, Process, processes


def generate_launch_description() -> LaunchDescription:
    """The arguments of bringup, then its processes."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Node]:
    """The processes for the arguments' values, which are known only now."""
    values = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    return [
        Node(
            package=process.package,
            executable=process.executable,
            name=process.name,
            namespace=process.namespace,
            parameters=[*(str(path) for path in process.parameter_files), typed_parameters(process)],
            ros_arguments=["--log-level", process.log_level],
            output="screen",
            emulate_tty=True,
            on_exit=[Shutdown(reason=f"{process.name} ended")] if process.required else None,
        )
        for process in processes(values)
    ]


def typed_parameters(process: Process) -> dict[str, object]:
    """The parameters, with texts marked as such: launch would read a text like "1" as a number."""
    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in process.parameters.items()
    }
