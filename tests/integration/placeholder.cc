int placeholder_for_cmake;
